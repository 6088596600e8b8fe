"""Notices: what of the journal's lines people are told, in words, with what to type next. Pure.

One notice a release and change of its fate: not every step of every environment is worth a message.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from flows.words import body_words, count, drift_words, one_line
from tasks.journal.events import (
    Body,
    Bypassed,
    DriftFound,
    DriftLeft,
    Quarantined,
    QuarantineLifted,
    ReleaseFinished,
    RolledBack,
    Withdrawn,
    body_of,
)
from tasks.journal.events import EventKind as Kind
from tasks.journal.line import LineResumed, LineStopped
from tasks.journal.pushes import PushDropped
from tasks.journal.rebuilds import RebuildDone, RebuildFinished
from tasks.journal.waits import ReleaseWaits, WaitKind
from tasks.notices import Level, Notice
from tasks.ports import Event
from tasks.stale import Rebuilt

TELLING = frozenset(
    {
        Kind.RELEASE_FINISHED,
        Kind.ROLLED_BACK,
        Kind.WITHDRAWN,
        Kind.RELEASE_WAITS,
        Kind.BYPASSED,
        Kind.DRIFT_FOUND,
        Kind.DRIFT_LEFT,
        Kind.LINE_STOPPED,
        Kind.LINE_RESUMED,
        Kind.QUARANTINED,
        Kind.QUARANTINE_LIFTED,
        Kind.REBUILD_DONE,
        Kind.REBUILD_FINISHED,
        Kind.PUSH_DROPPED,
    }
)
"""All other lines tell nobody anything; most of a journal are samples, and are not even read."""


@dataclass(frozen=True)
class Told:
    """Of one line: what it is about (`key`), how much it matters, a title, and what to do about it. Lines of one batch with the
    same `group` become one notice."""

    key: str
    level: Level
    title: str
    text: str = ""
    group: str = ""


def notices(events: Iterable[Event], links: Mapping[tuple[str, str], str]) -> tuple[Notice, ...]:
    """Of these lines, in their order. `links`: (service, release) -> where in the UI more is to be seen."""
    made: dict[str, Notice] = {}
    for event in events:
        if event.kind not in TELLING:
            continue
        if (told := _told(event, body_of(event))) is not None:
            group = told.group or told.key
            made[group] = _joined(made.pop(group, None), _notice(event, told, links))
    return tuple(made.values())


def _notice(event: Event, told: Told, links: Mapping[tuple[str, str], str]) -> Notice:
    link = links.get((event.service, event.release), "")
    text = "\n".join(filter(None, (told.text, link)))
    words = (one_line(told.title), text, event.service, event.release)
    return Notice(event.sequence, told.key, told.level, *words)


def _joined(before: Notice | None, notice: Notice) -> Notice:
    """The newer title, with all that was said before; no line twice."""
    if before is None or before.key == notice.key:
        return notice
    lines = (before.title, *before.text.splitlines(), *notice.text.splitlines())
    return replace(notice, text="\n".join(dict.fromkeys(lines)))


def _told(event: Event, body: Body) -> Told | None:
    match body:
        case ReleaseFinished() | Withdrawn() | RolledBack() | ReleaseWaits() | Bypassed():
            return _of_release(event, body)
        case DriftFound() | DriftLeft():
            return _of_drift(event, body)
        case LineStopped():
            text = "Nothing goes forward until `bakewell resume REASON`."
            return Told(f"line {event.sequence}", Level.ALARM, str(body), text)
        case LineResumed():
            return Told(f"line {event.sequence}", Level.WARNING, str(body))
        case Quarantined() | QuarantineLifted():
            level = Level.ALARM if isinstance(body, Quarantined) else Level.INFO
            text = "`bakewell quarantine list` shows where it runs."
            return Told(f"quarantine {event.sequence}", level, body_words(body), text)
        case _:
            return _of_machines(event, body)


def _of_machines(event: Event, body: Body) -> Told | None:
    match body:
        case RebuildDone(rebuild, Rebuilt.FAILED, note):
            text = f"`bakewell history {event.service}` shows more."
            title = f"{event.service} could not be rebuilt: {note}"
            return Told(f"{rebuild} {event.service}", Level.WARNING, title, text)
        case RebuildFinished(rebuild, summary):
            return Told(f"{rebuild} finished", Level.INFO, f"{rebuild} finished: {summary}")
        case PushDropped(push, reason):
            level = Level.INFO if "supersede" in reason else Level.WARNING
            title = f"{event.service}: a push is not released: {reason}"
            return Told(f"push {push}", level, title, f"It stands in line {push} of the journal.")
    return None


# ---- releases ------------------------------------------------------------------------------------


def _of_release(
    event: Event, body: ReleaseFinished | Withdrawn | RolledBack | ReleaseWaits | Bypassed
) -> Told | None:
    name, place = f"{event.service} {event.release}", event.environment
    more = f"`bakewell explain {name}` shows why."
    match body:
        case ReleaseFinished(outcome):
            return _finished(name, outcome, more)
        case Withdrawn(verdict, reason):
            if verdict is not None:
                return None  # its release ends with it, and says so
            title = f"{name} was withdrawn from {place}: {reason}"
            return Told(f"{name} stopped", Level.WARNING, title, more)
        case RolledBack(to, reason, by):
            title = f"{event.service} in {place} was rolled back to {to.release} by {by}: {reason}"
            text = f"`bakewell history {event.service}` shows what led to it."
            return Told(f"{name} {place} rolled back {event.sequence}", Level.ALARM, title, text)
        case ReleaseWaits(wait):
            return _waits(event, wait.kind, wait.reason)
        case Bypassed(gate, found, reason, by):
            title = f"{name} goes past {gate} of {place} for {by}: {reason} (it said: {found})"
            text = f"A debt: `bakewell repay {event.sequence} --how WHAT-WAS-DONE` settles it."
            key = f"debt {event.sequence}"
            return Told(key, Level.WARNING, title, text, f"debts of {name} in {place}")
    return None


def _finished(name: str, outcome: str, more: str) -> Told:
    if outcome.startswith("promoted"):
        return Told(f"{name} promoted", Level.INFO, f"{name} is {outcome}")
    if outcome.startswith("superseded"):
        return Told(f"{name} superseded", Level.INFO, f"{name} is {outcome}")
    return Told(f"{name} stopped", Level.WARNING, f"{name} {outcome}", more)


def _waits(event: Event, kind: WaitKind, reason: str) -> Told:
    name, place = f"{event.service} {event.release}", event.environment
    key, title = f"{name} {place} {kind.value}", f"{name} waits for {kind.value} in {place}"
    if kind is not WaitKind.APPROVAL:
        return Told(key, Level.INFO, f"{title}: {reason}")
    answers = (
        f"`bakewell {answer} {event.service} {place} --reason WHY`"
        for answer in ("approve", "reject")
    )
    return Told(key, Level.WARNING, title, "\n".join((reason, *answers)))


def _of_drift(event: Event, body: DriftFound | DriftLeft) -> Told:
    where = f"{event.service} in {event.environment}"
    key = f"drift {event.sequence}"
    if isinstance(body, DriftLeft):
        title = f"{where}: healed {count(body.times, 'time')} and back again, left to people"
        return Told(key, Level.ALARM, title, drift_words(body.drift))
    if not body.drift:
        return Told(key, Level.INFO, f"{where}: no drift any more", "", f"drift of {where}")
    words = "\n".join(map(drift_words, body.drift[:5]))
    text = f"{words}\n`bakewell drift {event.service} --heal` replaces it."
    title = f"{where} has drifted: {count(len(body.drift), 'difference')}"
    return Told(key, Level.WARNING, title, text, f"drift of {where}")
