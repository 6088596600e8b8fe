"""What an inspected container shows of what was done to it. Pure: words of the Engine API.

A container says in a label what it was asked to be; what it is now is said in the same form. What it was asked to be must
itself be something that we ask for: whoever forges our labels forges that one, too.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic import JsonValue

from tasks.adapters.docker_run import Image, Setting, asked_as, creation, started_as
from tasks.inspection import ChangedFile, ChangedSetting, Condition, FileChange, InstanceSeen
from tasks.model import Artifact, Environment, Group, Role

Attrs = Mapping[str, Any]

NEVER: Final = "0001-01-01"
OWN_FIELDS: Final = frozenset({"Name", "Image"})
FIRM: Final = (
    *("CapAdd", "CapDrop", "Binds", "Mounts", "Devices", "DeviceRequests", "IpcMode", "PidMode", "Privileged"),
    *("ReadonlyRootfs", "RestartPolicy", "SecurityOpt", "UsernsMode", "UTSMode", "VolumesFrom", "Sysctls"),
)  # fmt: skip
"""Settings that no service.yaml can change: every container of ours is asked to have these."""
DIFF_KINDS: Final = (FileChange.CHANGED, FileChange.ADDED, FileChange.DELETED)


def seen(attrs: Attrs, instance: str, group: str, digest: str) -> InstanceSeen:
    """Of one container, by GET /containers/ID/json; without its files and its image."""
    labels: Mapping[str, str] = attrs["Config"].get("Labels") or {}
    asked, now, state = asked_as(labels), started_as(attrs), attrs["State"]
    ended_at = _moment(state["FinishedAt"])
    condition = _condition(state)
    return InstanceSeen(
        instance,
        group,
        condition,
        ended_at if condition is Condition.ENDED else None,
        _how_ended(state) if condition is Condition.ENDED else "",
        _changed(asked or {}, now) if asked else (),
        digest=digest,
        called=str(now["Name"]) if asked and asked.get("Name") != now.get("Name") else "",
        restarted_at=_restarted_at(state) if condition is not Condition.ENDED else None,
        forged=_forged(asked),
    )


def _condition(state: Attrs) -> Condition:
    if state["Paused"]:
        return Condition.PAUSED
    return Condition.RUNNING if state["Running"] else Condition.ENDED


def _how_ended(state: Attrs) -> str:
    memory = ", for want of memory" if state["OOMKilled"] else ""
    return f"ended with exit code {state['ExitCode']}{memory}"


def _restarted_at(state: Attrs) -> datetime | None:
    """What runs and has ended before was started again."""
    return _moment(state["StartedAt"]) if _moment(state["FinishedAt"]) else None


def _changed(
    asked: Mapping[str, JsonValue], now: Mapping[str, JsonValue]
) -> tuple[ChangedSetting, ...]:
    names = sorted({*asked, *now} - OWN_FIELDS)
    return tuple(
        ChangedSetting(name, *_told(name, asked.get(name), now.get(name)))
        for name in names
        if asked.get(name) != now.get(name)
    )


def _told(name: str, was: JsonValue, now: JsonValue) -> tuple[JsonValue, JsonValue]:
    """Of environment variables only the names of those that differ: their values may be secrets (invariant 12)."""
    if name != "Env":
        return was, now
    before, after = (set(one) if isinstance(one, list) else set() for one in (was, now))
    return _names(before - after), _names(after - before)


def _names(variables: set[JsonValue]) -> JsonValue:
    return [str(one).partition("=")[0] + "=…" for one in sorted(variables, key=str)]


def _forged(asked: Mapping[str, JsonValue] | None) -> str:
    if asked is None:
        return "it does not say what it was started as"
    ours = _firm()
    wrong = [name for name in FIRM if asked.get(name) != ours.get(name)]
    return f"it was started with {wrong[0]} {asked.get(wrong[0])!r}" if wrong else ""


@cache
def _firm() -> Mapping[str, JsonValue]:
    """As we ask for any container."""
    anybody = Group("r", Artifact("s", "sha256:", ""), 1, 0, Role.STABLE)
    setting = Setting(Path("/"), Environment("s", "e", "docker"), "n")
    body = creation(setting, anybody, "i", Image("sha256:", {}))
    return asked_as(body["Labels"]) or {}


def _moment(text: str) -> datetime | None:
    """The engine tells nanoseconds; None for its word for never."""
    if not text or text.startswith(NEVER):
        return None
    return datetime.fromisoformat(text[:19] + "+00:00")


def changed_files(diff: list[Attrs] | None, attrs: Attrs) -> tuple[ChangedFile, ...]:
    """By GET /containers/ID/changes, without where the engine itself mounts something: the image needs no such place."""
    mounts = {mount["Destination"] for mount in attrs.get("Mounts") or ()}
    host = attrs["HostConfig"]
    places = {*mounts, *(host.get("Tmpfs") or ()), "/sbin/docker-init"}
    return tuple(
        sorted(
            ChangedFile(one["Path"], DIFF_KINDS[one["Kind"]])
            for one in diff or ()
            if not any(_leads_to(one["Path"], place) for place in places)
        )
    )


def _leads_to(path: str, place: str) -> bool:
    return path == place or place.startswith(f"{path}/")
