"""Notifying: people are told what the journal says since they were last told. A chore; needs no Prefect.

That somebody was told is a line of the journal, so no restart repeats it; only a process that is killed between the two tells a
thing twice, which is better than never. One target that does not answer is tried again later; the others get theirs.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from flows.labels import run_path
from flows.notices import TELLING, notices
from flows.story import Tone, tell
from flows.tenure import Tenure, tenure
from tasks import platforms
from tasks.adapters.notify_file import notify_settings
from tasks.adapters.prefect_server import LocalPrefectServer
from tasks.errors import BakewellError, LeaseHeldError
from tasks.journal.events import EVERY_SERVICE, EventKind, body_of
from tasks.journal.line import Notified
from tasks.notices import Notice, NotifySettings, Target
from tasks.notify.rules import due, retry_seconds
from tasks.ports import Event, Journal

PLACE = "notify"
FROM_NOW_ON = "whatever happens from now on"


@dataclass
class Memory:
    """What this process knows of a target, and may forget: how far it has looked in vain, and how often it did not answer."""

    looked: int = 0
    failures: int = 0
    next_try: float = 0.0


@dataclass(frozen=True)
class Known:
    """What the journal says that a target was told: up to which line, and the keys."""

    through: int = 0
    keys: frozenset[str] = field(default_factory=frozenset)


_MEMORIES: dict[tuple[str, str], Memory] = {}


def notify() -> Iterator[str]:
    """Tell every target of $BAKEWELL_NOTIFY what is new for it. Says what was told; nothing is done where it is not set."""
    if (settings := notify_settings()) is None:
        return
    journal = platforms.journal()
    known = known_of(journal.events(EVERY_SERVICE, kinds=(EventKind.NOTIFIED,)))
    for target in settings.targets:
        if memory_of(target).next_try <= time.monotonic():
            yield from _tell(journal, settings, target, known.get(target.name))


def known_of(events: Sequence[Event]) -> Mapping[str, Known]:
    """By the target's name. Pure."""
    found: dict[str, Known] = {}
    for event in events:
        if event.kind != EventKind.NOTIFIED:
            continue
        body = body_of(event)
        assert isinstance(body, Notified), "that is its kind"
        before = found.get(body.target, Known())
        through = max(before.through, body.through)
        found[body.target] = Known(through, before.keys | {body.key})
    return found


def memory_of(target: Target) -> Memory:
    return _MEMORIES.setdefault((str(platforms.home()), target.name), Memory())


def _tell(
    journal: Journal, settings: NotifySettings, target: Target, known: Known | None
) -> Iterator[str]:
    memory = memory_of(target)
    events = journal.events(after=max(memory.looked, known.through if known else 0))
    links = _links(journal, settings, events)
    waiting = due(target, notices(events, links), known.keys) if known else ()
    if known and not waiting:
        memory.looked = events[-1].sequence if events else memory.looked
        return
    try:
        with tenure(journal, EVERY_SERVICE, PLACE, PLACE) as held:
            if known is None:
                newest = events[-1].sequence if events else 0
                held.record("", Notified("", FROM_NOW_ON, target.name, newest))
                yield f"{target.name} is told {FROM_NOW_ON}"
            yield from _send(held, target, waiting)
    except LeaseHeldError:
        return  # another keeper is telling them


def _send(held: Tenure, target: Target, waiting: Sequence[Notice]) -> Iterator[str]:
    memory, notifier = memory_of(target), platforms.notifier()
    keys = (
        known_of(held.journal.events(EVERY_SERVICE, kinds=(EventKind.NOTIFIED,)))
        .get(target.name, Known())
        .keys
    )
    for notice in waiting:
        if notice.key in keys:
            continue  # by another keeper, a moment ago
        try:
            notifier.send(target, notice)
        except BakewellError as error:
            memory.failures += 1
            later = retry_seconds(memory.failures)
            memory.next_try = time.monotonic() + later
            tell(f"{error}; tried again in {later:.0f} s", Tone.WARN, where=f"notify {target.name}")
            return
        memory.failures = 0
        held.record("", Notified(notice.key, notice.title, target.name, notice.sequence))
        yield f"told {target.name}: {notice.title}"


def _links(
    journal: Journal, settings: NotifySettings, events: Sequence[Event]
) -> dict[tuple[str, str], str]:
    """Where in the UI each release of these lines is to be seen, and answered if it waits: the run that does it."""
    told = {one.service for one in events if one.kind in TELLING and one.release}
    ui = (settings.ui or LocalPrefectServer(platforms.home()).ui_url).rstrip("/") if told else ""
    if not ui:
        return {}
    return {
        (event.service, event.release): f"{ui}{run_path(str(run))}"
        for service in sorted(told)
        for event in journal.events(service)
        if event.kind == EventKind.RELEASE_STARTED and (run := event.body.get("flow_run"))
    }
