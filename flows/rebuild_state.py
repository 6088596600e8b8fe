"""What the journal says of rebuilds: which there were, how far each has come. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from tasks.journal.rebuilds import BasesSeen, RebuildDone, RebuildFinished, RebuildPlanned
from tasks.journal.rules import EventKind, body_of
from tasks.ports import Event
from tasks.stale import Rebuilt, Stale

KINDS = (EventKind.REBUILD_PLANNED, EventKind.REBUILD_DONE, EventKind.REBUILD_FINISHED)


@dataclass(frozen=True)
class RebuildState:
    """One rebuild: what it set out to do, and what became of whom so far."""

    name: str
    stale: tuple[Stale, ...]
    done: Mapping[str, RebuildDone] = field(default_factory=dict)
    is_finished: bool = False

    @property
    def outcomes(self) -> dict[str, Rebuilt]:
        return {service: one.outcome for service, one in self.done.items()}


def rebuilds(events: Iterable[Event]) -> tuple[RebuildState, ...]:
    """All, oldest first. Of two lines about one service the first counts: whoever wrote the second had lost its lease."""
    found: dict[str, RebuildState] = {}
    for event in events:
        if event.kind not in KINDS:
            continue
        match body_of(event):
            case RebuildPlanned(name, stale):
                found[name] = RebuildState(name, stale)
            case RebuildDone() as done if done.rebuild in found:
                known = found[done.rebuild]
                found[known.name] = replace(known, done={event.service: done, **known.done})
            case RebuildFinished(name) if name in found:
                found[name] = replace(found[name], is_finished=True)
    return tuple(found.values())


def unfinished(events: Iterable[Event]) -> RebuildState | None:
    """The newest that somebody has begun and not ended."""
    left = [one for one in rebuilds(events) if not one.is_finished]
    return left[-1] if left else None


def renewed_at(events: Iterable[Event]) -> dict[str, datetime]:
    """When each service was last found to be what a bake gives: an age limit counts from then."""
    found: dict[str, datetime] = {}
    for event in events:
        if event.kind == EventKind.REBUILD_DONE:
            body = body_of(event)
            if isinstance(body, RebuildDone) and body.outcome in (
                Rebuilt.PATCHED,
                Rebuilt.UNCHANGED,
            ):
                found[event.service] = event.at
    return found


def bases_seen(events: Iterable[Event]) -> dict[str, set[str]]:
    """Digests that each tag was ever seen to stand for."""
    found: dict[str, set[str]] = {}
    for event in events:
        if event.kind == EventKind.BASES_SEEN:
            body = body_of(event)
            for one in body.seen if isinstance(body, BasesSeen) else ():
                found.setdefault(one.place, set()).add(one.digest)
    return found
