"""Counting what was answered: differences of counters, sums over instances, shares of a latency histogram. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate

from tasks.model import InstanceTraffic, LatencyHistogram, Reading, Sample, Unseen


@dataclass(frozen=True)
class Traffic:
    """What some instances answered together."""

    requests: int
    failures: int
    latency: LatencyHistogram

    @property
    def failure_share(self) -> float:
        return self.failures / self.requests if self.requests else 0.0

    def plus(self, other: "Traffic") -> "Traffic":
        return Traffic(
            self.requests + other.requests,
            self.failures + other.failures,
            add(self.latency, other.latency),
        )


def difference(before: Reading, after: Reading) -> Sample:
    """What happened between two readings.

    A counter that fell was restarted: it counts from 0. So does an instance that was not there before. What one that
    vanished answered since `before` nobody can know: it is left out.
    """
    known = {(one.group, one.instance): one for one in before.instances}
    happened = (_since(known.get((one.group, one.instance)), one) for one in after.instances)
    return Sample(after.at, max(0.0, (after.at - before.at).total_seconds()), tuple(happened))


def _since(before: InstanceTraffic | None, after: InstanceTraffic) -> InstanceTraffic:
    if before is None:
        return after
    latency = _latency_since(before.latency, after.latency)
    if latency is None or after.requests < before.requests or after.failures < before.failures:
        return after
    return InstanceTraffic(
        after.group,
        after.instance,
        after.requests - before.requests,
        after.failures - before.failures,
        latency,
        after.gauges,
    )


def _latency_since(before: LatencyHistogram, after: LatencyHistogram) -> LatencyHistogram | None:
    """None if a count fell."""
    if before.total == 0:
        return after
    old, new = _aligned(before, after)
    counts = tuple(now - then for then, now in zip(old.counts, new.counts, strict=True))
    return None if min(counts) < 0 else LatencyHistogram(new.bounds_ms, counts)


def add(one: LatencyHistogram, other: LatencyHistogram) -> LatencyHistogram:
    """The sum over the bounds both have: coarser if they differ, never guessed."""
    if one.total == 0:
        return other
    if other.total == 0:
        return one
    one, other = _aligned(one, other)
    counts = tuple(map(int.__add__, one.counts, other.counts))
    return LatencyHistogram(one.bounds_ms, counts)


def add_all(histograms: Iterable[LatencyHistogram]) -> LatencyHistogram:
    """The sum of many: those of the same bounds at once, for there are as many as instances."""
    alike = dict[tuple[float, ...], list[tuple[int, ...]]]()
    for one in histograms:
        alike.setdefault(one.bounds_ms, []).append(one.counts)
    sums = (
        LatencyHistogram(bounds, tuple(map(sum, zip(*counts, strict=True))))
        for bounds, counts in alike.items()
    )
    return reduce(add, sums, LatencyHistogram())


def _aligned(
    one: LatencyHistogram, other: LatencyHistogram
) -> tuple[LatencyHistogram, LatencyHistogram]:
    if one.bounds_ms == other.bounds_ms:
        return one, other
    common = tuple(sorted(set(one.bounds_ms) & set(other.bounds_ms)))
    return _coarser(one, common), _coarser(other, common)


def _coarser(histogram: LatencyHistogram, bounds_ms: tuple[float, ...]) -> LatencyHistogram:
    counts = [0] * (len(bounds_ms) + 1)
    for bound, count in zip((*histogram.bounds_ms, float("inf")), histogram.counts, strict=True):
        counts[bisect_left(bounds_ms, bound)] += count
    return LatencyHistogram(bounds_ms, tuple(counts))


def totals(samples: Iterable[Sample | Unseen], groups: Collection[str]) -> Traffic:
    """All that instances of these groups answered in these samples. Unseen ones add nothing."""
    found = [
        one
        for sample in samples
        if isinstance(sample, Sample)
        for one in sample.instances
        if one.group in groups
    ]
    return Traffic(
        sum(one.requests for one in found),
        sum(one.failures for one in found),
        add_all(one.latency for one in found),
    )


def surely_within(histogram: LatencyHistogram, threshold_ms: float) -> int:
    """Requests that were surely answered within the threshold: of a bucket it cuts, none."""
    return sum(histogram.counts[: bisect_right(histogram.bounds_ms, threshold_ms)])


def surely_above(histogram: LatencyHistogram, threshold_ms: float) -> int:
    """Requests that surely took longer than the threshold: of a bucket it cuts, none."""
    return sum(histogram.counts[bisect_left(histogram.bounds_ms, threshold_ms) + 1 :])


def share_within(histogram: LatencyHistogram, threshold_ms: float) -> float:
    """The share surely answered within the threshold; 0 if nothing was measured."""
    return surely_within(histogram, threshold_ms) / histogram.total if histogram.total else 0.0


def quantile_ms(histogram: LatencyHistogram, share: float) -> float | None:
    """For people: the upper bound of the bucket in which the quantile lies; None above all bounds or without data."""
    if not histogram.total:
        return None
    place = bisect_left(list(accumulate(histogram.counts)), share * histogram.total)
    return _at(histogram.bounds_ms, place)


def _at(bounds_ms: Sequence[float], place: int) -> float | None:
    return bounds_ms[place] if place < len(bounds_ms) else None
