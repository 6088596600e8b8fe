"""The rivals do what their documentation says, on plain cases."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import pytest

from tasks.model import InstanceTraffic, Judgement, LatencyHistogram, Sample, Verdict
from tasks.observe.rules import Judge
from tests.benchmarks.live.peers_of_ours import (
    KayentaJudge,
    ThresholdJudge,
    interpolated_ms,
    is_high,
    windows,
)

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
BOUNDS: Final = (50.0, 100.0, 200.0, 400.0)
FAST, SLOW = (80, 15, 4, 1, 0), (60, 20, 10, 9, 1)
THRESHOLD, KAYENTA = ThresholdJudge(soak_seconds=200), KayentaJudge(soak_seconds=200)


def sample(
    n: int, failures: int = 0, latency: Sequence[int] = FAST, memory: float = 20e6
) -> Sample:
    """Ten seconds: 100 requests each, two of the baseline's fail in every third."""

    def one(group: str, failed: int, counts: Sequence[int], held: float) -> InstanceTraffic:
        histogram = LatencyHistogram(BOUNDS, tuple(counts))
        return InstanceTraffic(group, f"{group}-0", 100, failed, histogram, (("memory", held),))

    both = (
        one("r2", failures, latency, memory),
        one("r2-baseline", 2 if n % 3 == 0 else 0, FAST, 20e6),
    )
    return Sample(START + timedelta(seconds=10 * (n + 1)), 10.0, both)


def judged(judge: Judge, samples: Sequence[Sample]) -> tuple[Judgement, float]:
    """The first verdict, and after how many seconds."""
    found = None
    for count in range(1, len(samples) + 1):
        now = samples[count - 1].at
        found = judge.judge(samples[:count], "r2", ("r1", "r2-baseline"), START, now)
        if found.verdict is not Verdict.KEEP_OBSERVING:
            return found, (now - START).total_seconds()
    assert found is not None
    return found, float("inf")


@pytest.mark.parametrize("judge", [THRESHOLD, KAYENTA])
def test_a_good_version_is_promoted_after_the_soak(judge: Judge) -> None:
    found, seconds = judged(judge, [sample(n, 2 if n % 3 == 1 else 0) for n in range(20)])
    assert (found.verdict, seconds) == (Verdict.PROMOTE, 200)


def test_a_threshold_needs_one_window_more_than_its_limit() -> None:
    found, seconds = judged(THRESHOLD, [sample(n, 20) for n in range(20)])
    assert (found.verdict, seconds) == (Verdict.ROLL_BACK, 60)
    once = [sample(n, 20 if n < 3 else 0) for n in range(20)]
    assert judged(THRESHOLD, once)[0].verdict is Verdict.PROMOTE


def test_a_threshold_sees_a_p99_above_its_limit() -> None:
    found, seconds = judged(THRESHOLD, [sample(n, latency=SLOW) for n in range(20)])
    assert (found.verdict, seconds) == (Verdict.ROLL_BACK, 60)
    assert "p99" in found.reason


def test_a_threshold_does_not_see_what_stays_under_it() -> None:
    slower = [sample(n, latency=(60, 35, 4, 1, 0), memory=20e6 + 1e6 * n) for n in range(20)]
    assert judged(THRESHOLD, slower)[0].verdict is Verdict.PROMOTE
    assert judged(KAYENTA, slower)[0].verdict is Verdict.ROLL_BACK


def test_kayenta_says_nothing_before_the_end() -> None:
    found, seconds = judged(KAYENTA, [sample(n, 100) for n in range(20)])
    assert (found.verdict, seconds) == (Verdict.ROLL_BACK, 200)
    assert found.reason == "high: errors"


def test_the_classifier_needs_enough_points_and_a_shift_beyond_its_tolerance() -> None:
    few, many = np.arange(3, dtype=float), np.arange(10, dtype=float)
    assert not is_high(few + 100, few, 0.25)
    assert is_high(many + 100, many, 0.25)
    assert not is_high(many, many, 0.25)
    assert not is_high(many - 100, many, 0.25)
    assert not is_high(np.zeros(10), np.zeros(10), 0.25)


def test_a_quantile_is_interpolated_inside_its_bucket() -> None:
    histogram = LatencyHistogram(BOUNDS, (50, 50, 0, 0, 0))
    assert interpolated_ms(histogram, 0.5) == 50
    assert interpolated_ms(histogram, 0.75) == 75
    assert interpolated_ms(LatencyHistogram(BOUNDS, (0, 0, 0, 0, 5)), 0.5) == 400
    assert interpolated_ms(LatencyHistogram(), 0.5) == 0


def test_windows_hold_every_sample_once_and_leave_the_last_open() -> None:
    found = [len(one) for one in windows([sample(n) for n in range(8)], 30)]
    assert found == [3, 3]
