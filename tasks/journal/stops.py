"""Is the line stopped? A fold over the lines that are about no single service. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from tasks.journal.events import EventKind, body_of
from tasks.journal.line import LineStopped
from tasks.ports import Event


@dataclass(frozen=True)
class Stop:
    """The line is stopped. `sequence` is the journal's line that says so, `by` a claim."""

    sequence: int
    since: datetime
    reason: str
    by: str


def stop_in_force(events: Iterable[Event]) -> Stop | None:
    """By the newest line about it. Said again while it is stopped, it is stopped since the first, for the newest reason."""
    found: Stop | None = None
    for event in events:
        if event.kind == EventKind.LINE_RESUMED:
            found = None
        elif event.kind == EventKind.LINE_STOPPED:
            body = body_of(event)
            assert isinstance(body, LineStopped), "that is its kind"
            since = found.since if found else event.at
            found = Stop(event.sequence, since, body.reason, body.by)
    return found
