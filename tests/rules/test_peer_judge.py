"""The judge among peers: right verdicts, plain reasons, and a judgement that follows from the samples alone."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tasks.model import InstanceTraffic, Judgement, LatencyHistogram, Sample, Unseen, Verdict
from tasks.observe.peers import PeerJudge
from tasks.service import ErrorObjective, LatencyObjective, Objectives, Observe

START = datetime(2026, 1, 1, tzinfo=UTC)
BOUNDS = (5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0)
USUAL = np.array([0.01, 0.02, 0.05, 0.12, 0.3, 0.3, 0.15, 0.04, 0.008, 0.002])
SLOWER = np.array([0.0, 0.01, 0.03, 0.1, 0.26, 0.31, 0.2, 0.07, 0.015, 0.005])
OBJECTIVES = Objectives(
    errors=ErrorObjective(objective=0.99),
    latency=LatencyObjective(threshold_ms=500, objective=0.9),
)
SETTINGS = Observe(
    minimum_seconds=60,
    minimum_requests=100,
    deadline_seconds=900,
    patience_seconds=60,
    warm_up_seconds=0,
    burst=1,
)
Shares = dict[str, float]
Make = Callable[[np.random.Generator, int], tuple[InstanceTraffic, ...]]


def instance(
    rng: np.random.Generator,
    group: str,
    name: str,
    requests: int = 125,
    failing: float = 0.001,
    latency: np.ndarray = USUAL,
    memory: float | None = None,
) -> InstanceTraffic:
    counts = tuple(int(one) for one in rng.multinomial(requests, latency))
    gauges = () if memory is None else (("memory", memory),)
    failures = int(rng.binomial(requests, failing))
    return InstanceTraffic(
        group, name, requests, failures, LatencyHistogram(BOUNDS, counts), gauges
    )


def peers(rng: np.random.Generator, count: int = 3, **more: float) -> tuple[InstanceTraffic, ...]:
    return tuple(instance(rng, "r2-baseline", f"b{n}", **more) for n in range(count))  # type: ignore[arg-type]


def samples(make: Make, batches: int = 90, seed: int = 0) -> list[Sample]:
    rng = np.random.default_rng(seed)
    return [
        Sample(START + timedelta(seconds=10 * (n + 1)), 10.0, make(rng, n)) for n in range(batches)
    ]


def judged(
    shown: Sequence[Sample | Unseen], judge: PeerJudge | None = None
) -> tuple[Judgement, int]:
    """The first verdict, looking after every sample, and how many it took."""
    judge = judge or PeerJudge(OBJECTIVES, SETTINGS)
    found = None
    for count in range(1, len(shown) + 1):
        now = shown[count - 1].at
        found = judge.judge(list(shown[:count]), "r2", ("r2-baseline",), START, now)
        if found.verdict is not Verdict.KEEP_OBSERVING:
            return found, count
    assert found is not None
    return found, len(shown)


def test_a_good_version_is_promoted_with_what_is_ruled_out() -> None:
    found, count = judged(samples(lambda rng, n: (instance(rng, "r2", "c"), *peers(rng))))
    assert found.verdict is Verdict.PROMOTE
    assert "percentage points above its peers" in found.reason
    assert float(str(found.numbers["errors: at most"])) <= float(
        str(found.numbers["errors: margin"])
    )
    assert count >= 6, "the soak"


@pytest.mark.parametrize(
    ("failing", "at_most_batches"), [(0.02, 20), (0.05, 10), (0.2, 7), (1.0, 1)]
)
def test_a_version_that_fails_more_is_rolled_back(failing: float, at_most_batches: int) -> None:
    found, count = judged(
        samples(lambda rng, n: (instance(rng, "r2", "c", failing=failing), *peers(rng)))
    )
    assert found.verdict is Verdict.ROLL_BACK
    assert found.reason.startswith("errors:")
    assert count <= at_most_batches


def test_a_slower_version_is_rolled_back_and_told_as_slower() -> None:
    found, _ = judged(
        samples(lambda rng, n: (instance(rng, "r2", "c", latency=SLOWER), *peers(rng, 5)))
    )
    assert found.verdict is Verdict.ROLL_BACK
    assert "latency" in found.reason or "slow" in found.reason


def test_a_fault_that_starts_late_is_found() -> None:
    def late(rng: np.random.Generator, n: int) -> tuple[InstanceTraffic, ...]:
        return (instance(rng, "r2", "c", failing=0.05 if n >= 20 else 0.001), *peers(rng, 5))

    settings = SETTINGS.model_copy(update={"minimum_seconds": 800})
    found, count = judged(samples(late), PeerJudge(OBJECTIVES, settings))
    assert found.verdict is Verdict.ROLL_BACK
    assert 20 < count <= 36


def test_a_shared_outage_rolls_nothing_back_and_promotes_nothing() -> None:
    def outage(rng: np.random.Generator, n: int) -> tuple[InstanceTraffic, ...]:
        share = 0.3 if n >= 2 else 0.001
        return (instance(rng, "r2", "c", failing=share), *peers(rng, 3, failing=share))

    found, count = judged(samples(outage, 60))
    assert (found.verdict, count) == (Verdict.KEEP_OBSERVING, 60)
    assert "the world burns" in found.reason


def test_a_sick_stable_instance_blocks_the_verdict() -> None:
    def sick(rng: np.random.Generator, n: int) -> tuple[InstanceTraffic, ...]:
        other = instance(rng, "r2-baseline", "sick", failing=0.08)
        return (instance(rng, "r2", "c", failing=0.05), other, *peers(rng, 8))

    found, _ = judged(samples(sick, 40))
    assert found.verdict is Verdict.KEEP_OBSERVING
    assert "so does sick" in found.reason


def test_a_leak_is_found_by_its_growth_not_by_its_level() -> None:
    def leaking(by: float) -> Make:
        def make(rng: np.random.Generator, n: int) -> tuple[InstanceTraffic, ...]:
            def memory(start: float, growth: float) -> float:
                return start * (1 + growth * n) * float(rng.normal(1, 0.001))

            others = tuple(
                instance(rng, "r2-baseline", f"b{i}", memory=memory(100 + 9 * i, 0.0))
                for i in range(7)
            )
            return (instance(rng, "r2", "c", memory=memory(300, by)), *others)

        return make

    settings = SETTINGS.model_copy(update={"minimum_seconds": 880})
    found, _ = judged(samples(leaking(0.01)), PeerJudge(OBJECTIVES, settings))
    assert found.verdict is Verdict.ROLL_BACK
    assert found.reason.startswith("memory")
    level, _ = judged(samples(leaking(0.0)), PeerJudge(OBJECTIVES, settings))
    assert level.verdict is Verdict.PROMOTE, "that it needs more than its peers is no leak"


def test_too_few_peers_of_its_load_are_a_weaker_comparison_and_it_says_so() -> None:
    found, _ = judged(
        samples(lambda rng, n: (instance(rng, "r2", "c", failing=0.05), *peers(rng, 1)))
    )
    assert found.verdict is Verdict.ROLL_BACK
    assert "fewer than two have its load" in found.reason


def test_peers_of_another_load_are_not_ranked() -> None:
    def unlike(rng: np.random.Generator, n: int) -> tuple[InstanceTraffic, ...]:
        return (instance(rng, "r2", "c", requests=50), *peers(rng, 3, requests=500))

    found, _ = judged(samples(unlike, 5))
    assert "fewer than two" in str(found.numbers["errors: compared"])


def test_little_traffic_is_told_with_a_forecast_and_ends_inconclusive() -> None:
    found, count = judged(
        samples(lambda rng, n: (instance(rng, "r2", "c", requests=2), *peers(rng, 3, requests=2)))
    )
    assert (found.verdict, count) == (Verdict.INCONCLUSIVE, 90)
    early, _ = judged(
        samples(
            lambda rng, n: (instance(rng, "r2", "c", requests=2), *peers(rng, 3, requests=2)), 9
        )
    )
    assert "s more at this traffic, later than the deadline" in early.reason


def test_metrics_that_cannot_be_seen_end_inconclusive_and_are_no_batch() -> None:
    good = samples(lambda rng, n: (instance(rng, "r2", "c"), *peers(rng)), 3)
    blind = [Unseen(START + timedelta(seconds=30 + 10 * (n + 1)), "refused") for n in range(10)]
    found, count = judged([*good, *blind])
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "says nothing about the canary" in found.reason
    assert count == 3 + 6, "after the patience"


def test_a_silent_canary_is_neither_good_nor_bad() -> None:
    def silent(rng: np.random.Generator, n: int) -> tuple[InstanceTraffic, ...]:
        return (instance(rng, "r2", "c", requests=125 if n < 2 else 0), *peers(rng))

    found, _ = judged(samples(silent, 20))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "answered nothing" in found.reason


def test_instances_are_not_compared_while_they_warm_up() -> None:
    def cold(rng: np.random.Generator, n: int) -> tuple[InstanceTraffic, ...]:
        return (instance(rng, "r2", "c", failing=0.4 if n < 3 else 0.001), *peers(rng))

    settings = SETTINGS.model_copy(update={"warm_up_seconds": 30})
    assert judged(samples(cold), PeerJudge(OBJECTIVES, settings))[0].verdict is Verdict.PROMOTE
    assert judged(samples(cold))[0].verdict is not Verdict.PROMOTE


def test_without_peers_the_objectives_alone_decide() -> None:
    alone = samples(lambda rng, n: (instance(rng, "r2", "c", failing=0.2),), 20)
    found = PeerJudge(OBJECTIVES, SETTINGS).judge(alone, "r2", (), START, alone[-1].at)
    assert found.verdict is Verdict.ROLL_BACK


def test_more_places_share_one_budget_of_false_alarms() -> None:
    shown = samples(lambda rng, n: (instance(rng, "r2", "c", failing=0.03), *peers(rng, 5)))
    _, alone = judged(shown, PeerJudge(OBJECTIVES, SETTINGS, places=1))
    _, shared = judged(shown, PeerJudge(OBJECTIVES, SETTINGS, places=50))
    assert shared > alone


def test_the_judgement_follows_from_the_samples_alone() -> None:
    """Looked at each time or once at the end, by one judge or by another after a crash: no sample counts twice."""
    shown = samples(lambda rng, n: (instance(rng, "r2", "c", failing=0.004), *peers(rng)), 12)
    at, args = shown[-1].at, ("r2", ("r2-baseline",), START)
    patient = PeerJudge(OBJECTIVES, SETTINGS)
    for count in range(1, len(shown) + 1):
        looked = patient.judge(list(shown[:count]), *args, shown[count - 1].at)
    assert PeerJudge(OBJECTIVES, SETTINGS).judge(list(shown), *args, at) == looked
    assert patient.judge(list(shown), *args, at) == looked
    other = [replace(one, seconds=9.9) for one in shown]
    assert patient.judge(list(other), *args, at) == PeerJudge(OBJECTIVES, SETTINGS).judge(
        list(other), *args, at
    ), "shown others, it starts anew"


def test_short_samples_are_merged_into_batches() -> None:
    """Guards look at once, bets wait for a whole batch: bursts shorter than it are forgiven."""
    rng = np.random.default_rng(0)
    short = [
        Sample(
            START + timedelta(seconds=n + 1),
            1.0,
            (instance(rng, "r2", "c", requests=12), *peers(rng, 3, requests=12)),
        )
        for n in range(45)
    ]
    found, _ = judged(short)
    assert found.numbers["looks"] == 45
    judge = PeerJudge(OBJECTIVES, SETTINGS)
    judge.judge(list(short), "r2", ("r2-baseline",), START, short[-1].at)
    assert judge._trial.evidence["errors"].batches in (4, 5)
