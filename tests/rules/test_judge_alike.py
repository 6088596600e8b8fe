"""The rule that is tried on thousands of runs at once is the one that ships: PeerJudge rolls back at the same look."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tasks.model import InstanceTraffic, Sample, Verdict
from tasks.observe.peers import PeerJudge
from tasks.service import ErrorObjective, Objectives, Observe
from tests.benchmarks.judge import memory, ours
from tests.benchmarks.judge.worlds import (
    BATCHES,
    NULL_WORLDS,
    REGRESSIONS,
    STEP_SECONDS,
    STEPS,
    Streams,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
OBJECTIVES = Objectives(errors=ErrorObjective(objective=0.5))
SETTINGS = Observe(
    minimum_seconds=900, deadline_seconds=900, patience_seconds=60, warm_up_seconds=0
)
RUNS = 3


def rolled_back_at(shown: list[Sample]) -> int:
    """The step; NEVER if it is not."""
    judge = PeerJudge(OBJECTIVES, SETTINGS)
    for step, sample in enumerate(shown):
        found = judge.judge(shown[: step + 1], "canary", ("peers",), START, sample.at)
        if found.verdict is Verdict.ROLL_BACK:
            return step
    return ours.NEVER


def errors(streams: Streams, run: int) -> list[Sample]:
    return [
        Sample(
            START + timedelta(seconds=STEP_SECONDS * (step + 1)),
            STEP_SECONDS,
            tuple(
                InstanceTraffic(_group(one, total), f"i{one}", int(total[one]), int(bad[one]))
                for one in range(len(total))
            ),
        )
        for step, (total, bad) in enumerate(zip(streams.total[run], streams.bad[run], strict=True))
    ]


def _group(instance: int, all_of_them: np.ndarray) -> str:
    return "canary" if instance == len(all_of_them) - 1 else "peers"


@pytest.mark.parametrize(
    ("world", "each", "peers"),
    [
        ("1 %", 50.0, 3),
        ("1 %", 5.0, 19),
        ("5 %", 5.0, 5),
        ("5 %", 0.5, 19),
        ("100 %", 5.0, 3),
        ("1 % from 5 min", 50.0, 19),
        ("bad spells", 50.0, 19),
        ("cold start, old peers", 50.0, 19),
        ("unequal hosts", 50.0, 9),
    ],
)
def test_errors_are_judged_alike_one_by_one_and_all_at_once(
    world: str, each: float, peers: int
) -> None:
    make = {**NULL_WORLDS, **REGRESSIONS}[world]
    streams = make(np.random.default_rng(4), RUNS, peers, each * STEP_SECONDS)
    together = ours.rolled_back((ours.of_errors(streams),), STEPS, BATCHES)
    together = np.minimum(together, ours.guarded(streams))
    assert [rolled_back_at(errors(streams, run)) for run in range(RUNS)] == together.tolist()


def test_leaks_are_judged_alike() -> None:
    levels = memory.levels(np.random.default_rng(4), RUNS, 2.0, 7)
    silent = ours.Levels(np.zeros(levels.shape), tuple(range(memory.STEPS)), 1.0)
    together = ours.rolled_back((silent, *ours.of_memory(levels)), memory.STEPS, BATCHES)
    found = [
        rolled_back_at(
            [
                Sample(START + timedelta(seconds=10 * (step + 1)), 10.0, _remembering(now))
                for step, now in enumerate(levels[run])
            ]
        )
        for run in range(RUNS)
    ]
    assert (np.abs(np.array(found) - together) <= 6).all(), "the purse was shared a window later"


def _remembering(now: np.ndarray) -> tuple[InstanceTraffic, ...]:
    return tuple(
        InstanceTraffic(_group(one, now), f"i{one}", 100, 0, gauges=(("memory", float(now[one])),))
        for one in range(len(now))
    )
