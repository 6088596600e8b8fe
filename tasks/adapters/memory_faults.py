"""What can go wrong in a world in memory, and the time it goes by."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum


class Crash(BaseException):
    """The process died here. Not an Exception: nothing may catch it and go on."""


class Moment(StrEnum):
    """When an injected failure strikes. HALFWAY: after the first half of an action's smallest changes."""

    BEFORE = "before"
    HALFWAY = "halfway"
    AFTER = "after"


@dataclass(frozen=True)
class Fault:
    """What goes wrong at the `nth` action this world ever sees."""

    nth: int
    moment: Moment
    error: BaseException


class ManualClock:
    """Time that passes only when it is told to."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def wall_clock() -> datetime:
    return datetime.now(UTC)


def strike(fault: Fault | None, moment: Moment) -> None:
    if fault is not None and fault.moment is moment:
        raise fault.error
