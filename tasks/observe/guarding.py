"""The guard: a limit of harm, whatever the cause, asked at every look. Not statistics. Pure.

It begins with the first request, warm-up or not: what fails half of what it is asked needs no bets.
"""

from collections import deque
from collections.abc import Collection, Iterable
from typing import Final

from tasks.model import Sample
from tasks.observe.evidence import GUARD_SECONDS, Counts

GUARD_SHARE: Final = 0.5
GUARD_REQUESTS: Final = 50


class Guard:
    """Errors of the last half minute."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, Counts]] = deque()
        self._seconds = 0.0

    def see(self, sample: Sample, canary: str, peers: Collection[str]) -> None:
        bad, total, others_bad, others = 0, 0, 0, 0
        for one in sample.instances:
            if one.group == canary:
                bad, total = bad + min(one.failures, one.requests), total + one.requests
            elif one.group in peers:
                others_bad, others = others_bad + one.failures, others + one.requests
        self._recent.append((sample.seconds, Counts(bad, total, others_bad, others)))
        self._seconds += sample.seconds
        while self._seconds - self._recent[0][0] >= GUARD_SECONDS:
            self._seconds -= self._recent.popleft()[0]

    def tripped(self) -> str:
        """What to say of it; empty if it is not."""
        found = sum_of(one for _, one in self._recent)
        return told("errors", found) if found.others and harmful(found) else ""


def sum_of(counts: Iterable[Counts]) -> Counts:
    found = Counts()
    for one in counts:
        found = found.plus(one)
    return found


def harmful(found: Counts) -> bool:
    """At least half of enough, and the others are well."""
    if found.total < GUARD_REQUESTS or found.bad / found.total < GUARD_SHARE:
        return False
    return found.others_bad <= GUARD_SHARE / 10 * max(found.others, 1)


def told(name: str, found: Counts) -> str:
    return (
        f"{name}: {found.bad:.0f} of its last {found.total:.0f} requests;"
        f" of its peers' {found.others_bad:.0f} (guard)"
    )
