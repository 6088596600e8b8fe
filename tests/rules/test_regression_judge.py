"""The judge of the watch: a promoted release against the last samples of the group before it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import pytest

from tasks.model import InstanceTraffic, Judgement, LatencyHistogram, Sample, Unseen, Verdict
from tasks.observe.growth import growths
from tasks.observe.regression import RegressionJudge
from tasks.service import ErrorObjective, LatencyObjective, Objectives, Observe

PROMOTED: Final = datetime(2026, 1, 1, tzinfo=UTC)
BOUNDS: Final = (5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0)
USUAL: Final = (0.01, 0.02, 0.05, 0.12, 0.3, 0.3, 0.15, 0.04, 0.008, 0.002)
SLOWER: Final = (0.0, 0.01, 0.03, 0.1, 0.2, 0.25, 0.25, 0.12, 0.03, 0.01)
OBJECTIVES: Final = Objectives(
    errors=ErrorObjective(objective=0.9), latency=LatencyObjective(threshold_ms=1000, objective=0.9)
)
SETTINGS: Final = Observe(margin=0.005, warm_up_seconds=0)
BEFORE, WATCH = 30, 60  # samples of 10 s


class World:
    """What the two groups answer, sample by sample."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def instance(
        self,
        group: str,
        name: str,
        failing: float = 0.001,
        latency: Sequence[float] = USUAL,
        memory: float = 50e6,
        requests: int = 250,
    ) -> InstanceTraffic:
        counts = LatencyHistogram(BOUNDS, tuple(self._rng.multinomial(requests, latency).tolist()))
        failures = int(self._rng.binomial(requests, failing))
        noise = float(self._rng.normal(0, 1e5))
        gauges = (("memory", memory + noise),)
        return InstanceTraffic(group, name, requests, failures, counts, gauges)

    def rollout(self, failing: float = 0.001) -> list[Sample]:
        return [
            Sample(
                PROMOTED - timedelta(seconds=10 * (BEFORE - 1 - n)),
                10.0,
                (
                    *(self.instance("r1", f"r1-{k}", failing) for k in range(2)),
                    *(self.instance("r2-baseline", f"b-{k}", failing) for k in range(3)),
                    self.instance("r2", "r2-0"),
                ),
            )
            for n in range(BEFORE)
        ]

    def watch(
        self,
        failing: float = 0.001,
        latency: Sequence[float] = USUAL,
        leak: float = 0.0,
        late: int = 0,
        count: int = WATCH,
    ) -> list[Sample]:
        """`leak`: bytes per sample. `late`: samples until the fault begins."""
        return [
            Sample(
                PROMOTED + timedelta(seconds=10 * (n + 1)),
                10.0,
                tuple(
                    self.instance(
                        "r2",
                        f"r2-{k}",
                        failing if n >= late else 0.001,
                        latency if n >= late else USUAL,
                        50e6 + leak * n,
                    )
                    for k in range(2)
                ),
            )
            for n in range(count)
        ]


def judged(
    rollout: Sequence[Sample | Unseen],
    watch: Sequence[Sample | Unseen],
    settings: Observe = SETTINGS,
) -> tuple[Judgement, int]:
    """The first roll-back, or the last judgement, and after how many samples of the watch."""
    judge = RegressionJudge(OBJECTIVES, settings)
    found = None
    for count in range(1, len(watch) + 1):
        shown = [*rollout, *watch[:count]]
        found = judge.judge(shown, "r2", ("r1", "r2-baseline"), PROMOTED, watch[count - 1].at)
        if found.verdict is Verdict.ROLL_BACK:
            return found, count
    assert found is not None
    return found, len(watch)


def test_a_good_release_is_never_taken_back() -> None:
    alarms = 0
    for seed in range(40):
        world = World(seed)
        found, _ = judged(world.rollout(), world.watch(count=30))
        alarms += found.verdict is Verdict.ROLL_BACK
    assert alarms == 0


@pytest.mark.parametrize(("failing", "at_most"), [(0.02, 8), (0.05, 5), (1.0, 1)])
def test_more_errors_than_before_take_it_back_though_the_objective_is_kept(
    failing: float, at_most: int
) -> None:
    world = World()
    found, count = judged(world.rollout(), world.watch(failing))
    assert found.verdict is Verdict.ROLL_BACK
    assert "failed" in found.reason
    assert "before" in found.reason or failing == 1.0
    assert count <= at_most


def test_a_late_fault_is_not_thinned_out_by_a_good_beginning() -> None:
    world = World()
    found, count = judged(world.rollout(), world.watch(0.05, late=40))
    assert found.verdict is Verdict.ROLL_BACK
    assert 40 < count <= 49


def test_slower_answers_take_it_back() -> None:
    world = World()
    found, count = judged(world.rollout(), world.watch(latency=SLOWER))
    assert found.verdict is Verdict.ROLL_BACK
    assert "took longer than" in found.reason
    assert count <= 6


def test_a_little_worse_is_no_reason_however_certain_it_is() -> None:
    world = World()
    found, _ = judged(world.rollout(), world.watch(0.003, count=40))
    assert found.verdict is Verdict.KEEP_OBSERVING


def test_what_was_as_bad_before_is_no_reason() -> None:
    world = World()
    found, _ = judged(world.rollout(failing=0.03), world.watch(0.03, count=30))
    assert found.verdict is Verdict.KEEP_OBSERVING


def test_a_slow_leak_is_found_by_how_memory_grows() -> None:
    world = World()
    found, count = judged(world.rollout(), world.watch(leak=250_000))
    assert found.verdict is Verdict.ROLL_BACK
    assert found.reason.startswith("memory grows by")
    assert count <= 30, "minutes 4 and 5"


def test_a_burst_of_errors_is_one_batch_and_no_reason() -> None:
    """However large: what goes on is found, what is over is not."""
    world = World()
    watch = [
        *world.watch(count=6),
        *(shifted(one, 6) for one in world.watch(0.08, count=2)),
        *(shifted(one, 8) for one in world.watch(count=20)),
    ]
    assert judged(world.rollout(), watch)[0].verdict is Verdict.KEEP_OBSERVING


def shifted(sample: Sample, samples: int) -> Sample:
    return replace(sample, at=sample.at + timedelta(seconds=10 * samples))


def test_the_first_moments_after_the_promotion_are_not_compared() -> None:
    world = World()
    cold = [*world.watch(0.05, count=6), *(shifted(one, 6) for one in world.watch(count=20))]
    patient = SETTINGS.model_copy(update={"warm_up_seconds": 60.0})
    assert judged(world.rollout(), cold)[0].verdict is Verdict.ROLL_BACK
    assert judged(world.rollout(), cold, patient)[0].verdict is Verdict.KEEP_OBSERVING


def test_without_anything_before_the_objectives_remain() -> None:
    world = World()
    assert judged([], world.watch(0.01, count=20))[0].verdict is Verdict.KEEP_OBSERVING
    broken, count = judged([], world.watch(0.3))
    assert broken.verdict is Verdict.ROLL_BACK
    assert count <= 2


def test_what_could_not_be_seen_says_nothing() -> None:
    world = World()
    unseen = [Unseen(PROMOTED + timedelta(seconds=10 * (n + 1)), "gone") for n in range(20)]
    assert judged(world.rollout(), unseen)[0].verdict is Verdict.KEEP_OBSERVING


def test_the_first_minute_of_a_fresh_instance_is_left_out_of_its_growth() -> None:
    world = World()
    (memory,) = growths(world.rollout(), world.watch(count=13), "r2", {"r1", "r2-baseline"})
    assert len(memory.now) == 2 + 1, "r2-0 was seen before, of r2-1 only its second minute"
    assert len(memory.before) == 5 * ((BEFORE - 1) * 10 // 60 - 1)
