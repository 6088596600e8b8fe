"""What is compared: how an instance's counts and gauges of one batch become one number per metric, higher being worse. Pure.

A histogram (of latencies, or a custom SLI) is looked at in three ways (notes: from a histogram, and each ranked): *typical*
(the mean of mid-rank scores), *slow* (the share above the bucket at about p90) and, with a threshold, *too slow* (the share
above it). Only the past chooses scores and edges: chosen from the batch they judge, bets would not be fair.
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
from tasks.sources import RatioSli

ENOUGH_PAST: Final = 200  # requests, before latency can be scored
TYPICAL_FLOOR: Final = 0.02  # of the rank score: about 5 % slower
OTHER_FLOOR: Final = 0.2  # of the usual share
ERRORS_FLOOR: Final = 0.0005
USUAL_ERRORS: Final = 0.001
USUAL_RATIO: Final = 0.01  # of a custom SLI; fixed before its first batch, as it must be
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
    all metrics bet with, in units of what the others have. `pace`: of its batches to those of the others."""

    name: str
    kind: Kind
    margin: float | None
    floor: float
    usual: float
    share: float = 1.0
    pace: float = 1.0


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
class Wording:
    """What the three views of a histogram are called."""

    typical: str
    slow: str
    too_slow: str


LATENCY: Final = Wording("typical latency", "slow requests", "too slow requests")


@dataclass(frozen=True)
class HistogramViews:
    """How a histogram's values are scored from now on: fixed when enough of the past was known."""

    bounds_ms: tuple[float, ...]
    scores: Floats
    slow_from: int
    too_slow_from: int | None
    usual_slow: float
    usual_too_slow: float

    def metrics(self, names: Wording, margin: float | None) -> tuple[Metric, ...]:
        """`margin` is that of the share above the threshold."""
        slow, too_slow = self.usual_slow, self.usual_too_slow
        found = [
            Metric(names.typical, Kind.LEVEL, None, TYPICAL_FLOOR, 0.0),
            Metric(names.slow, Kind.RATIO, None, OTHER_FLOOR * slow, slow),
        ]
        if self.too_slow_from is not None:
            floor = OTHER_FLOOR * too_slow
            found.append(Metric(names.too_slow, Kind.RATIO, margin, floor, too_slow))
        return tuple(found)

    def batches(self, histograms: Sequence[LatencyHistogram]) -> tuple[Batch, ...]:
        """For each of the metrics, in their order. An instance with other bounds cannot be compared: nothing was seen."""
        counts = np.array([self._counts(one) for one in histograms], float)
        total = counts.sum(1)
        nobody = np.zeros(len(histograms))
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


def histogram_views(past: LatencyHistogram, threshold: float | None) -> HistogramViews | None:
    """None until enough is known to choose by."""
    if past.total < ENOUGH_PAST or not past.bounds_ms:
        return None
    shares = np.array(past.counts, float) / past.total
    cumulated = shares.cumsum()
    slow = min(int(np.argmax(cumulated >= 0.85)) + 1, len(shares) - 1)
    too_slow = None
    if threshold is not None and threshold <= past.bounds_ms[-1]:
        too_slow = bisect_left(past.bounds_ms, threshold) + 1
    return HistogramViews(
        past.bounds_ms,
        np.asarray(cumulated - shares / 2, float),
        slow,
        too_slow,
        _usual(shares, slow),
        _usual(shares, too_slow) if too_slow is not None else 0.0,
    )


def gauge_metric(name: str, floor: float = 0.0, share: float = 1.0, pace: float = 1.0) -> Metric:
    """A gauge is ranked, in units of its own: differences need no floor, for every batch is one rank."""
    return Metric(name, Kind.LEVEL, None, floor, 0.0, share, pace)


def ratio_metric(sli: RatioSli) -> Metric:
    return Metric(sli.name, Kind.RATIO, sli.margin, sli.floor, USUAL_RATIO)


def ratio_of(name: str, instances: Sequence[InstanceTraffic]) -> Batch:
    """Of a custom SLI. Where it was not counted, nothing was seen."""
    found = [{one: (bad, total) for one, bad, total in each.ratios} for each in instances]
    counts = np.array([each.get(name, (0, 0)) for each in found], float).reshape(-1, 2)
    bad, total = np.minimum(counts[:, 0], counts[:, 1]), counts[:, 1]
    return Batch(bad, total, _ratio(bad, total))


def value_of(name: str, sign: float, instances: Sequence[InstanceTraffic]) -> Batch:
    """Of a gauge that is compared by its value; its load is that of its instance."""
    values = [sign * dict(one.gauges).get(name, np.nan) for one in instances]
    load = np.array([one.requests for one in instances], float)
    return Batch(np.zeros(len(instances)), load, np.array(values, float))


def _usual(shares: Floats, start: int) -> float:
    return float(np.clip(shares[start:].sum(), 1e-4, 0.9))


def _ratio(bad: Floats, total: Floats) -> Floats:
    return np.asarray(np.where(total > 0, bad / np.maximum(total, 1), np.nan), float)
