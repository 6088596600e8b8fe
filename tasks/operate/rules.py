"""When a part of the installation is started, started again, or replaced because it hangs. Pure: times are seconds of one clock
that the caller chooses."""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
STEADY_SECONDS: Final = 60.0
"""Whoever has lived that long did not fail at its start: the next pause is short again."""
STARTING_SECONDS: Final = 60.0
"""So long a part may be silent after its start; on a busy machine `import prefect` alone takes ten seconds."""


class Step(Enum):
    """What the supervisor does to a part now."""

    NOTHING = "nothing"
    START = "start"
    REPLACE = "replace"
    """It runs, but hangs: it is ended, then started."""


@dataclass(frozen=True)
class PartLife:
    """How it went with one part. `failures`: in a row; `started_at`: None before the first start."""

    started_at: float | None = None
    ended_at: float | None = None
    failures: int = 0
    restarts: int = 0
    done: bool = False

    def started(self, now: float) -> "PartLife":
        again = self.restarts + (self.started_at is not None)
        return replace(self, started_at=now, ended_at=None, restarts=again)

    def ended(self, now: float) -> "PartLife":
        """It ended without being asked to, or hung."""
        lived = now - self.started_at if self.started_at is not None else 0.0
        failures = 1 if lived >= STEADY_SECONDS else self.failures + 1
        return replace(self, ended_at=now, failures=failures)

    def finished(self) -> "PartLife":
        """It had one thing to do, and did it."""
        return replace(self, done=True, failures=0)


def pause_seconds(failures: int) -> float:
    """How long a part rests after so many failures in a row. Nobody gives up: the reason may go away at night."""
    if failures < 1:
        return 0.0
    return float(min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 10)))


def next_step(
    life: PartLife, alive: bool, silent: float | None, patience: float, now: float
) -> Step:
    """`silent`: seconds since its last sign of life (None: none yet); `patience`: how long it may be silent."""
    if life.done:
        return Step.NOTHING
    if not alive:
        rested = life.ended_at is None or now - life.ended_at >= pause_seconds(life.failures)
        return Step.START if rested else Step.NOTHING
    age = now - life.started_at if life.started_at is not None else 0.0
    if age < max(STARTING_SECONDS, patience):
        return Step.NOTHING
    return Step.REPLACE if silent is None or silent > patience else Step.NOTHING
