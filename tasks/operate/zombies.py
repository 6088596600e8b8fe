"""Which runs Prefect believes to be going on, though nobody does them any more. Pure.

A run of ours holds a lease in the journal from before its first line to its last (`flows/engine.py`). Prefect itself would show
a run whose process died as Running for ever; its own remedy, a trigger on missing heartbeats, also crashes healthy runs that
wait for an approval.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

GOING_ON: Final = ("RUNNING", "PENDING", "CANCELLING")
RUNNING_GRACE_SECONDS: Final = 15.0
PENDING_GRACE_SECONDS: Final = 120.0
"""A worker that has taken a run starts a process first; where that is slow, it is not dead yet."""


@dataclass(frozen=True)
class RunSeen:
    """A run as Prefect shows it: `state` in capitals, `since` when it came into that state."""

    id: str
    name: str
    state: str
    since: datetime


def zombies(runs: Iterable[RunSeen], held: Collection[str], now: datetime) -> Iterator[RunSeen]:
    """Those whose id nobody holds, and that had their time to begin. Suspended, paused and scheduled runs never are."""
    for run in runs:
        if run.state not in GOING_ON or run.id in held:
            continue
        pending = run.state == "PENDING"
        grace = PENDING_GRACE_SECONDS if pending else RUNNING_GRACE_SECONDS
        if (now - run.since).total_seconds() > grace:
            yield run
