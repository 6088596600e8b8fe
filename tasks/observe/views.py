"""What is compared: how an instance's counts and gauges of one batch become one number per metric, higher being worse. Pure.

Latency is looked at in three ways (notes: from a histogram, and each ranked): *typical* (the mean of mid-rank scores), *slow*
(the share above the bucket at about p90) and, with an objective, *too slow* (the share above its threshold). Only the
past chooses scores and edges: chosen from the batch they judge, bets would not be fair.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.model import InstanceTraffic, LatencyHistogram
from tasks.observe.betting import Floats
from tasks.service import Objectives, Observe

ENOUGH_PAST: Final = 200  # requests, before latency can be scored
TYPICAL_FLOOR: Final = 0.02  # of the rank score: about 5 % slower
OTHER_FLOOR: Final = 0.2  # of the usual share
ERRORS_FLOOR: Final = 0.0005
USUAL_ERRORS: Final = 0.001
LEAST_MARGIN: Final = 0.0025
SLOW_MARGIN: Final = 0.01


class Kind(StrEnum):
    """RATIO: bad of so many events, which can be counted. LEVEL: a number that can only be ranked."""

    RATIO = "ratio"
    LEVEL = "level"


@dataclass(frozen=True)
class Metric:
    """`margin`: how much worse a canary may be and still be promoted (None: no claim is needed). `floor`: differences
    below never roll back. `usual`: a share of bad events that was fixed before the first batch. `share`: of the money that
    all metrics bet with, in units of what the others have."""

    name: str
    kind: Kind
    margin: float | None
    floor: float
    usual: float
    share: float = 1.0


@dataclass(frozen=True)
class Batch:
    """One metric of some instances in one batch, as arrays over the instances. `level` is NaN where nothing was seen."""

    bad: Floats
    total: Floats
    level: Floats

    def only(self, chosen: NDArray[Any]) -> "Batch":
        return Batch(self.bad[chosen], self.total[chosen], self.level[chosen])


def errors_metric(objectives: Objectives, settings: Observe) -> Metric:
    """Margin: what service.yaml says, else half of the error budget, at least 0.25 percentage points."""
    half_budget = (1 - objectives.errors.objective) / 2
    margin = settings.margin or max(LEAST_MARGIN, half_budget)
    return Metric("errors", Kind.RATIO, margin, ERRORS_FLOOR, USUAL_ERRORS)


def errors_of(instances: Sequence[InstanceTraffic]) -> Batch:
    bad = np.array([min(one.failures, one.requests) for one in instances], float)
    total = np.array([one.requests for one in instances], float)
    return Batch(bad, total, _ratio(bad, total))


@dataclass(frozen=True)
class LatencyViews:
    """How latencies are scored from now on: fixed when enough of the past was known."""

    bounds_ms: tuple[float, ...]
    scores: Floats
    slow_from: int
    too_slow_from: int | None
    usual_slow: float
    usual_too_slow: float

    def metrics(self, settings: Observe) -> tuple[Metric, ...]:
        found = [
            Metric("typical latency", Kind.LEVEL, None, TYPICAL_FLOOR, 0.0),
            Metric(
                "slow requests", Kind.RATIO, None, OTHER_FLOOR * self.usual_slow, self.usual_slow
            ),
        ]
        if self.too_slow_from is not None:
            margin = settings.margin or SLOW_MARGIN
            usual = self.usual_too_slow
            found.append(
                Metric("too slow requests", Kind.RATIO, margin, OTHER_FLOOR * usual, usual)
            )
        return tuple(found)

    def batches(self, instances: Sequence[InstanceTraffic]) -> tuple[Batch, ...]:
        """For each of the metrics, in their order. An instance with other bounds cannot be compared: nothing was seen."""
        counts = np.array([self._counts(one.latency) for one in instances], float)
        total = counts.sum(1)
        nobody = np.zeros(len(instances))
        typical = np.where(total > 0, counts @ self.scores / np.maximum(total, 1), np.nan)
        found = [Batch(nobody, total, typical), self._tail(counts, total, self.slow_from)]
        if self.too_slow_from is not None:
            found.append(self._tail(counts, total, self.too_slow_from))
        return tuple(found)

    def _counts(self, latency: LatencyHistogram) -> Sequence[int]:
        return latency.counts if latency.bounds_ms == self.bounds_ms else (0,) * len(self.scores)

    @staticmethod
    def _tail(counts: Floats, total: Floats, start: int) -> Batch:
        bad = counts[:, start:].sum(1)
        return Batch(bad, total, _ratio(bad, total))


def latency_views(past: LatencyHistogram, objectives: Objectives) -> LatencyViews | None:
    """None until enough is known to choose by."""
    if past.total < ENOUGH_PAST or not past.bounds_ms:
        return None
    shares = np.array(past.counts, float) / past.total
    cumulated = shares.cumsum()
    slow = min(int(np.argmax(cumulated >= 0.85)) + 1, len(shares) - 1)
    objective = objectives.latency
    too_slow = None
    if objective is not None and objective.threshold_ms <= past.bounds_ms[-1]:
        too_slow = bisect_left(past.bounds_ms, objective.threshold_ms) + 1
    return LatencyViews(
        past.bounds_ms,
        np.asarray(cumulated - shares / 2, float),
        slow,
        too_slow,
        _usual(shares, slow),
        _usual(shares, too_slow) if too_slow is not None else 0.0,
    )


def gauge_metric(name: str, share: float) -> Metric:
    """A gauge is ranked by how it grew, in units of its own: differences need no floor, for every batch is one rank."""
    return Metric(name, Kind.LEVEL, None, 0.0, 0.0, share)


def _usual(shares: Floats, start: int) -> float:
    return float(np.clip(shares[start:].sum(), 1e-4, 0.9))


def _ratio(bad: Floats, total: Floats) -> Floats:
    return np.asarray(np.where(total > 0, bad / np.maximum(total, 1), np.nan), float)
