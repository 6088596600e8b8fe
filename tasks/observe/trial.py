"""The trial of one canary: what was shown of it, batch by batch, and the evidence that follows from it.

Each sample counts once, in the batch it falls into; what could not be seen is no batch, for nobody.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from tasks.model import InstanceTraffic, LatencyHistogram, Sample, Unseen
from tasks.observe import gauges
from tasks.observe.counting import add
from tasks.observe.evidence import MetricEvidence
from tasks.observe.guarding import Guard, harmful, sum_of, told
from tasks.observe.merging import Window
from tasks.observe.purse import Purse, log_sum
from tasks.observe.views import (
    Batch,
    Kind,
    LatencyViews,
    Metric,
    errors_metric,
    errors_of,
    gauge_metric,
    latency_views,
)
from tasks.service import Objectives, Observe


@dataclass(frozen=True)
class _Compared:
    """The instances of one batch on each side."""

    canary: list[InstanceTraffic]
    others: list[InstanceTraffic]


class Trial:
    """What was shown of one rollout, and the evidence that follows from it."""

    def __init__(
        self,
        canary: str,
        peers: tuple[str, ...],
        objectives: Objectives,
        settings: Observe,
        horizon: int,
        burst: float,
    ) -> None:
        self.canary, self.peers = canary, peers
        self.shown: list[Sample | Unseen] = []
        self.seconds = 0.0
        self._objectives, self._settings = objectives, settings
        self._horizon, self._burst = horizon, burst
        self._window = Window(settings.batch_seconds)
        self._warm: dict[str, float] = {}
        self._past = LatencyHistogram()
        self._views: LatencyViews | None = None
        self._growths = tuple(gauges.Growth(one) for one in gauges.WINDOWS_SECONDS)
        self._purse, self.evidence = Purse(), dict[str, MetricEvidence]()
        self._let_in([errors_metric(objectives, settings)])
        self._guard = Guard()

    def continues(self, samples: Sequence[Sample | Unseen]) -> bool:
        """Do these begin with what was shown already?"""
        count = len(self.shown)
        return len(samples) >= count and (count == 0 or samples[count - 1] == self.shown[-1])

    def see(self, sample: Sample | Unseen) -> None:
        """A batch that could not be seen is no batch, for nobody: it is never filled with zeros."""
        self.shown.append(sample)
        if isinstance(sample, Unseen):
            return
        self._guard.see(sample, self.canary, self.peers)
        for batch in self._window.add(sample):
            self._bet(batch)

    def _bet(self, batch: Sample) -> None:
        self.seconds += batch.seconds
        compared = self._warmed_up(batch)
        if not compared.canary or not compared.others:
            return
        names = tuple(one.instance for one in compared.others)
        both = [*compared.canary, *compared.others]
        here, there = np.arange(len(compared.canary)), np.arange(len(compared.canary), len(both))

        found = [*self._looked(batch.seconds, both)]
        self._let_in([metric for metric, _ in found])
        for metric, levels in found:
            evidence = self.evidence[metric.name]
            evidence.update(levels.only(here), levels.only(there), names, batch.seconds)

    def _looked(
        self, seconds: float, both: list[InstanceTraffic]
    ) -> Iterator[tuple[Metric, Batch]]:
        yield errors_metric(self._objectives, self._settings), errors_of(both)
        yield from self._latency(both)
        for growth in self._growths:
            for name, found in growth.batches(seconds, both):
                yield gauge_metric(growth.named(name), 1 / len(self._growths)), found

    def _latency(self, both: list[InstanceTraffic]) -> Iterator[tuple[Metric, Batch]]:
        """Views are chosen by what was seen before this batch, and then kept."""
        if self._views is None:
            self._views = latency_views(self._past, self._objectives)
        if self._views is None:
            for one in both:
                self._past = add(self._past, one.latency)
            return
        metrics = self._views.metrics(self._settings)
        yield from zip(metrics, self._views.batches(both), strict=True)

    def _let_in(self, metrics: Sequence[Metric]) -> None:
        """Metrics that are seen for the first time, before any bet of this batch: they may have no money that was won by it."""
        new = [one for one in metrics if one.name not in self.evidence]
        self._purse.let_in({one.name: one.share for one in new}, self._log_odds())
        for one in new:
            self.evidence[one.name] = MetricEvidence(one, self._horizon, self._burst)

    def _log_odds(self) -> dict[str, float]:
        return {name: one.log_odds for name, one in self.evidence.items()}

    def _warmed_up(self, batch: Sample) -> _Compared:
        """Instances that have been served for long enough: a fresh one is slow for reasons that are not its artifact's."""
        canary, others = list[InstanceTraffic](), list[InstanceTraffic]()
        for one in batch.instances:
            if one.group != self.canary and one.group not in self.peers:
                continue
            age = self._warm.get(one.instance, 0.0)
            self._warm[one.instance] = age + batch.seconds
            if age >= self._settings.warm_up_seconds:
                (canary if one.group == self.canary else others).append(one)
        return _Compared(canary, others)

    # ---- what follows ----------------------------------------------------------------------------

    def log_odds(self, among_peers: bool = True) -> tuple[float, MetricEvidence | None]:
        """What is in the purse, as a logarithm, and the metric that has most of it. Trivial differences count nothing, nor,
        `among_peers`, do those that peers have among themselves."""
        found = {
            name: one.log_odds
            for name, one in self.evidence.items()
            if one.matters and (one.unusual or not among_peers)
        }
        if not found:
            return -inf, None
        weighted = self._purse.log_weighted(found)
        top = max(weighted, key=lambda name: weighted[name])
        return log_sum(weighted.values()), self.evidence[top]

    def mostly_failing(self) -> str:
        """Not statistics: a limit of harm, whatever the cause. Empty if it is kept."""
        if guilty := self._guard.tripped():
            return guilty
        for evidence in self.evidence.values():
            if evidence.metric.kind is not Kind.RATIO or evidence.metric.margin is None:
                continue
            found = sum_of(one for _, one in evidence.recent)
            if harmful(found):
                return told(evidence.metric.name, found)
        return ""

    def bounds(self) -> str:
        """Of each metric that has a margin: how much worse the canary may still be, with confidence."""
        claims = [one for one in self.evidence.values() if one.metric.margin is not None]
        return "; ".join(
            f"{one.metric.name} at most {100 * max(one.upper, 0):.2g} percentage points above its peers"
            f" ({100 * (one.metric.margin or 0):.2g} allowed)"
            for one in claims
        )
