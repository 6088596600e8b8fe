"""Lanes: how much stands between a release and an environment, and what somebody may go past, saying why (invariant 11). Pure.

Evidence, the smoke test and the judge are no barriers: nobody goes past them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Barrier(StrEnum):
    """What may hold a release up, as one types it: `--bypass window=REASON`."""

    LINE = "line"
    FREEZE = "freeze"
    WINDOW = "window"
    SOAK = "soak"
    APPROVAL = "approval"
    OBSERVATION = "observation"
    START = "start gate"


class LaneKind(StrEnum):
    """Normal: everything holds. Hotfix: users are hurt until it is there. Patch: nobody wrote it, a rebuild did."""

    NORMAL = "normal"
    HOTFIX = "hotfix"
    PATCH = "patch"


HOTFIX_PASSES: Final = frozenset(
    {
        Barrier.FREEZE,
        Barrier.WINDOW,
        Barrier.SOAK,
        Barrier.APPROVAL,
        Barrier.OBSERVATION,
        Barrier.START,
    }
)
"""Not the stopped line: whoever stopped it may have meant this very release. That needs a bypass of its own."""


@dataclass(frozen=True)
class Bypass:
    """One barrier that a release goes past, and why."""

    barrier: Barrier
    reason: str


@dataclass(frozen=True)
class Lane:
    """The lane of one release. `by` is a claim; `reason` is empty in the normal lane."""

    kind: LaneKind = LaneKind.NORMAL
    reason: str = ""
    by: str = ""
    bypasses: tuple[Bypass, ...] = ()

    def why_past(self, barrier: Barrier) -> str:
        """Why it goes past a barrier; empty if it does not."""
        for one in self.bypasses:
            if one.barrier is barrier:
                return one.reason
        return f"hotfix: {self.reason}" if self._hurries(barrier) else ""

    def _hurries(self, barrier: Barrier) -> bool:
        return self.kind is LaneKind.HOTFIX and barrier in HOTFIX_PASSES

    def __str__(self) -> str:
        """Empty in the normal lane: that needs no words."""
        past = ", ".join(one.barrier.value for one in self.bypasses)
        words = [
            f"as a {self.kind.value} ({self.reason})" if self.kind is not LaneKind.NORMAL else "",
            f"past {past}" if past else "",
        ]
        return " ".join(filter(None, words))


NORMAL_LANE: Final = Lane()
