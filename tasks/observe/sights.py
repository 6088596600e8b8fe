"""Everything that a canary is compared by, metric by metric: its errors, latencies and gauges, and the service's own SLIs.

Each sight turns the instances of one batch into numbers; which metrics there are may depend on what was seen before.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

from tasks.model import InstanceTraffic, LatencyHistogram
from tasks.observe.counting import add
from tasks.observe.gauges import SHARES, Growth
from tasks.observe.views import (
    LATENCY,
    SLOW_MARGIN,
    Batch,
    HistogramViews,
    Metric,
    Wording,
    errors_metric,
    errors_of,
    gauge_metric,
    histogram_views,
    ratio_metric,
    ratio_of,
    value_of,
)
from tasks.service import Objectives, Observe
from tasks.sources import Direction, GaugeSli, HistogramSli, RatioSli, Sli

Instances = list[InstanceTraffic]
Seen = Iterator[tuple[Metric, Batch]]


class Sight(Protocol):
    """One thing to look at."""

    def look(self, seconds: float, instances: Instances) -> Seen:
        """Its metrics in this batch; called once for each, in order."""

    def coming(self, instances: Instances) -> Iterator[Metric]:
        """Metrics that will be known in a later batch: who is let in before the others have won has a fair share."""

    def missing(self) -> str:
        """What must have been seen before anything may be promoted, and was not; empty if it was."""


class Counted:
    """Bad events of all: errors, and ratios of a service's own."""

    def __init__(self, metric: Metric, count: Callable[[Sequence[InstanceTraffic]], Batch]) -> None:
        self._metric, self._count = metric, count
        self._seen = metric.margin is None

    def look(self, seconds: float, instances: Instances) -> Seen:
        found = self._count(instances)
        self._seen = self._seen or bool(found.total.sum() > 0)
        yield self._metric, found

    def coming(self, instances: Instances) -> Iterator[Metric]:
        return iter(())

    def missing(self) -> str:
        return "" if self._seen else f"{self._metric.name} was never counted"


class Spread:
    """A histogram. Its views are chosen by what was seen before the batch, and then kept."""

    def __init__(
        self,
        names: Wording,
        threshold: float | None,
        margin: float | None,
        of: Callable[[InstanceTraffic], LatencyHistogram],
    ) -> None:
        self._names, self._threshold, self._margin, self._of = names, threshold, margin, of
        self._past = LatencyHistogram()
        self._views: HistogramViews | None = None

    def look(self, seconds: float, instances: Instances) -> Seen:
        found = [self._of(one) for one in instances]
        if self._views is None:
            self._views = histogram_views(self._past, self._threshold)
        if self._views is None:
            for one in found:
                self._past = add(self._past, one)
            return
        metrics = self._views.metrics(self._names, self._margin)
        yield from zip(metrics, self._views.batches(found), strict=True)

    def coming(self, instances: Instances) -> Iterator[Metric]:
        return iter(())

    def missing(self) -> str:
        if self._threshold is None or self._margin is None:
            return ""
        if self._views is None:
            return f"{self._names.too_slow}: {self._past.total} were measured, too few to compare"
        if self._views.too_slow_from is None:
            last = self._views.bounds_ms[-1]
            return f"{self._names.too_slow}: no bucket of the histogram reaches {self._threshold:g}, the last is {last:g}"
        return ""


class Levels:
    """Gauges: by how much they grew, over several windows of time, or those of `by_value` by what they are."""

    def __init__(self, slis: Sequence[GaugeSli], batch_seconds: float) -> None:
        signs = {
            one.name: -1.0 if one.direction is Direction.LOWER_IS_WORSE else 1.0 for one in slis
        }
        self._signs, self._floors = signs, {one.name: one.floor for one in slis}
        self._by_value = tuple(one.name for one in slis if not one.wanders)
        self._growths = tuple(Growth(window, signs, self._by_value) for window in SHARES)
        self._batch_seconds = batch_seconds

    def look(self, seconds: float, instances: Instances) -> Seen:
        for growth in self._growths:
            for name, found in growth.batches(seconds, instances):
                yield self._growing(name, growth), found
        for name in self._by_value:
            yield (
                gauge_metric(name, self._floors[name]),
                value_of(name, self._signs[name], instances),
            )

    def coming(self, instances: Instances) -> Iterator[Metric]:
        for growth in self._growths:
            yield from (self._growing(name, growth) for name in growth.wandering(instances))

    def _growing(self, gauge: str, growth: Growth) -> Metric:
        """Its floor is given for a minute."""
        window = growth.window_seconds
        floor, pace = self._floors.get(gauge, 0.0) * window / 60, self._batch_seconds / window
        return gauge_metric(growth.named(gauge), floor, SHARES[window], pace)

    def missing(self) -> str:
        return ""


def sights_of(objectives: Objectives, settings: Observe, slis: Sequence[Sli]) -> tuple[Sight, ...]:
    """What a service's canaries are compared by."""
    slow = objectives.latency
    latency = Spread(
        LATENCY,
        slow.threshold_ms if slow else None,
        settings.margin or SLOW_MARGIN,
        lambda one: one.latency,
    )
    levels = Levels([one for one in slis if isinstance(one, GaugeSli)], settings.batch_seconds)
    errors = Counted(errors_metric(objectives, settings), errors_of)
    return (errors, latency, levels, *_own(slis))


def _own(slis: Sequence[Sli]) -> Iterator[Sight]:
    for one in slis:
        if isinstance(one, RatioSli):
            yield Counted(ratio_metric(one), partial(ratio_of, one.name))
        elif isinstance(one, HistogramSli):
            names = Wording(
                f"typical {one.name}", f"high {one.name}", f"{one.name} above {one.threshold:g}"
            )
            yield Spread(
                names,
                one.threshold,
                one.margin,
                partial(_histogram, one.name),
            )


def _histogram(name: str, one: InstanceTraffic) -> LatencyHistogram:
    return dict(one.histograms).get(name, LatencyHistogram())
