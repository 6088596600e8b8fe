"""Barriers: what people have put in the way of every release: a stopped line, a freeze, hours in which nothing changes.

Asked anew each time: whoever lifts a freeze in a policy need tell nobody. Knows nothing of Prefect.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from flows.line import line_stop, stop_words
from flows.policies import policy_of
from tasks.journal.waits import Wait, WaitKind
from tasks.lanes import Barrier
from tasks.openings import frozen, shut
from tasks.service import EnvironmentSpec, ServiceSpec


@dataclass(frozen=True)
class InTheWay:
    """A barrier that says no, what it says, and how a release waits for it. `since`: the journal's line that put it there; 0:
    a file did."""

    barrier: Barrier
    found: str
    wait: Wait
    since: int = 0


def in_the_way(spec: ServiceSpec, place: EnvironmentSpec, now: datetime) -> Iterator[InTheWay]:
    """All that hold a release of this service up before it enters, in the order in which it meets them. `now`: aware.

    InvalidInputError if the policy of the environment cannot be read: that is neither yes nor no.
    """
    if stop := line_stop():
        found = stop_words(stop)
        wait = Wait(WaitKind.LINE, f"{found} (`bakewell resume REASON`)")
        yield InTheWay(Barrier.LINE, found, wait, stop.sequence)
    freezes = (*place.freezes, *policy_of(spec, place.name).policy.freezes)
    for kind, barrier, closed in (
        (WaitKind.FREEZE, Barrier.FREEZE, frozen(freezes, now, place.windows)),
        (WaitKind.WINDOW, Barrier.WINDOW, shut(place.windows, now)),
    ):
        if closed:
            yield InTheWay(barrier, closed.reason, Wait(kind, closed.reason, closed.until))
