"""What an engine's events say that people did to containers. Pure: words of the Engine API (GET /events).

Ours are left out: that a container is made, connected to its network, started; and that it ends. The engine does not tell
who asked for something, remembers the newest 256 events (fewer since it was started), and knows nothing of what a container
does itself.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from tasks.adapters.docker_run import ContainerLabel
from tasks.inspection import Deed, DeedKind

Event = Mapping[str, Any]

KINDS: Final = {
    "exec_create": DeedKind.EXECUTED,
    "extract-to-dir": DeedKind.COPIED,
    "update": DeedKind.UPDATED,
    "rename": DeedKind.RENAMED,
    "pause": DeedKind.PAUSED,
    "kill": DeedKind.SIGNALLED,
    "stop": DeedKind.STOPPED,
    "restart": DeedKind.RESTARTED,
}
LONGEST_COMMAND: Final = 200
_SECRET: Final = re.compile(
    r"((?:pass|pwd|secret|token|key|credential|auth)[\w-]*[\"']?(?:\s*[=:]\s*|\s+)[\"']?"
    r"(?:(?:bearer|basic)\s+)?)\S+",
    re.IGNORECASE,
)
_IN_URL: Final = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")
SIGNALS: Final = {"1": "SIGHUP", "2": "SIGINT", "9": "SIGKILL", "15": "SIGTERM"}


def known_from(events: Sequence[Event], now: datetime) -> datetime:
    """What happened before, the engine does not know any more, or never knew."""
    return min((at(one) for one in events), default=now)


def deeds(
    events: Sequence[Event],
    containers: Mapping[str, tuple[str, str]],
    belongings: Mapping[str, str],
) -> tuple[Deed, ...]:
    """`containers`: instance and group by id, of those that are there; `belongings`: the labels of the environment, by which
    those are known that were removed."""
    ordered = sorted(events, key=at)
    living = (
        deed
        for id, (instance, group) in containers.items()
        for deed in _of_one(_about(ordered, id), instance, group)
    )
    return (*living, *_removed(ordered, containers, belongings))


def _about(events: Iterable[Event], id: str) -> list[Event]:
    return [
        one
        for one in events
        if one["Actor"].get("ID") == id or _attributes(one).get("container") == id
    ]


def _of_one(events: Iterable[Event], instance: str, group: str) -> Iterator[Deed]:
    """Networks are connected to and left as a container starts and ends: those are no deeds. Until its start is seen, one
    that was made in the engine's memory is not running yet; of any other the start was earlier."""
    running = True
    for one in events:
        action, _, words = str(one["Action"]).partition(": ")
        if action in ("create", "die"):
            running = False
        elif action == "start":
            running = True
        elif one["Type"] == "network" and running and action in ("connect", "disconnect"):
            kind = DeedKind.CONNECTED if action == "connect" else DeedKind.DISCONNECTED
            yield Deed(at(one), kind, instance, group, str(_attributes(one).get("name", "")))
        elif one["Type"] == "container" and action in KINDS:
            said = _without_secrets(words) or _words(one, action)
            yield Deed(at(one), KINDS[action], instance, group, said)


def _without_secrets(command: str) -> str:
    """What people type into a command is journalled: not what they should not have typed (invariant 12)."""
    named = _SECRET.sub(r"\1(hidden)", command)
    return _IN_URL.sub(r"\1(hidden)@", named)[:LONGEST_COMMAND]


def _words(one: Event, action: str) -> str:
    attributes = _attributes(one)
    match action:
        case "kill":
            number = str(attributes.get("signal", ""))
            return SIGNALS.get(number, f"signal {number}")
        case "rename":
            return (
                f"from {str(attributes.get('oldName', '')).lstrip('/')} to {attributes.get('name')}"
            )
        case _:
            return ""


def _removed(
    events: Iterable[Event],
    containers: Mapping[str, tuple[str, str]],
    belongings: Mapping[str, str],
) -> Iterator[Deed]:
    for one in events:
        attributes = _attributes(one)
        if one["Type"] != "container" or one["Action"] != "destroy":
            continue
        if any(attributes.get(label) != value for label, value in belongings.items()):
            continue
        instance = attributes.get(ContainerLabel.INSTANCE.value, "")
        group = attributes.get(ContainerLabel.GROUP.value, "")
        if instance and one["Actor"]["ID"] not in containers:
            yield Deed(at(one), DeedKind.REMOVED, instance, group)


def _attributes(one: Event) -> Mapping[str, Any]:
    return one["Actor"].get("Attributes") or {}


def at(one: Event) -> datetime:
    """To the microsecond, by the engine's clock."""
    return datetime.fromtimestamp(int(one["timeNano"]) / 1e9, UTC)
