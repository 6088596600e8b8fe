"""Courses of rollouts for tests, made by hand: exactly what is asked for, and nothing by chance."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from flows.course import Course, Ending, Judged, Taken
from tasks.model import (
    Environment,
    InstanceTraffic,
    Judgement,
    LatencyHistogram,
    Sample,
    Step,
    Unseen,
    Verdict,
)
from tests.support.events import artifact, step
from tests.support.told import BEGIN, BOUNDS_MS

PLACE: Final = Environment("hello", "production", "process", 8080)
LATE: Final = LatencyHistogram(BOUNDS_MS, (0, 0, 0, 0, 0, 0, 9))
"""All of it above the last bound."""


def seen(at: float, *, seconds: float = 1, **answered: tuple[int, int]) -> Sample:
    """`r2=(90, 0), r3=(10, 2)`: requests and failures of one instance of each group; `_` is written for `-`."""
    found = []
    for name, (requests, failures) in answered.items():
        group = name.replace("_", "-")
        latency = LatencyHistogram(BOUNDS_MS, (0, requests, 0, 0, 0, 0, 0))
        found.append(InstanceTraffic(group, f"{group}-1", requests, failures, latency))
    return Sample(BEGIN + timedelta(seconds=at), seconds, tuple(found))


def unseen(at: float, reason: str = "connection refused") -> Unseen:
    return Unseen(BEGIN + timedelta(seconds=at), reason)


def judged(verdict: Verdict = Verdict.PROMOTE, at: float = 9, allowed: float = 0.01) -> Judged:
    found = Judgement(verdict, "as it was seen", {"failure_share_allowed": allowed})
    return Judged(BEGIN + timedelta(seconds=at), STEPS[-1].step, found)


def taken(at: float, planned: Step) -> Taken:
    return Taken(BEGIN + timedelta(seconds=at), planned)


STEPS: Final = (taken(0, step(2, 3, 10)), taken(5, step(2, 3, 20)))


def course(
    *samples: Sample | Unseen, seconds: float = 10, ending: Ending = Ending.PROMOTED
) -> Course:
    """Release r3 beside r2, 10 % and then 20 % of the traffic."""
    end = BEGIN + timedelta(seconds=seconds)
    begun = Course("r3", PLACE, artifact(3), BEGIN, end, ending, steps=STEPS, samples=samples)
    return replace(begun, verdicts=(judged(),))


def usual(failing: int = 0, count: int = 9) -> Course:
    """A sample a second; of ten requests of the new release so many fail."""
    samples = (seen(at, r2=(90, 0), r3=(10, failing)) for at in range(1, count + 1))
    return course(*samples, ending=Ending.ROLLED_BACK if failing else Ending.PROMOTED)
