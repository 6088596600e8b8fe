"""The trial of one canary: what was shown of it, batch by batch, and the evidence that follows from it.

Each sample counts once, in the batch it falls into; what could not be seen is no batch, for nobody.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from tasks.model import InstanceTraffic, Sample, Unseen
from tasks.observe.evidence import MetricEvidence, at_pace
from tasks.observe.guarding import Guard, harmful, sum_of, told
from tasks.observe.merging import Window
from tasks.observe.purse import Purse, log_sum
from tasks.observe.sights import sights_of
from tasks.observe.views import Kind, Metric, errors_metric
from tasks.service import Objectives, Observe
from tasks.sources import Sli


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
        slis: Sequence[Sli] = (),
    ) -> None:
        self.canary, self.peers = canary, peers
        self.shown: list[Sample | Unseen] = []
        self.seconds = 0.0
        self._settings = settings
        self._horizon, self._burst = horizon, burst
        self._window = Window(settings.batch_seconds)
        self._warm: dict[str, float] = {}
        self._canaries: tuple[str, ...] = ()
        self._sights = sights_of(objectives, settings, slis)
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
        self._canaries = tuple(one.instance for one in compared.canary)
        both = [*compared.canary, *compared.others]
        here, there = np.arange(len(compared.canary)), np.arange(len(compared.canary), len(both))
        found = [one for sight in self._sights for one in sight.look(batch.seconds, both)]
        coming = [one for sight in self._sights for one in sight.coming(both)]
        self._let_in([*(metric for metric, _ in found), *coming])
        for metric, levels in found:
            evidence = self.evidence[metric.name]
            evidence.update(levels.only(here), levels.only(there), names, batch.seconds)

    def _let_in(self, metrics: Sequence[Metric]) -> None:
        """Metrics that are seen for the first time, before any bet of this batch: they may have no money that was won by it."""
        new = {one.name: one for one in metrics if one.name not in self.evidence}.values()
        self._purse.let_in({one.name: one.share for one in new}, self._log_odds())
        for one in new:
            self.evidence[one.name] = MetricEvidence(
                one, at_pace(self._horizon, one.pace), self._burst
            )

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

    def where(self) -> str:
        """The instances of the canary that were compared last."""
        shown = ", ".join(self._canaries[:3])
        return shown if len(self._canaries) <= 3 else f"{shown} and {len(self._canaries) - 3} more"

    def unseen(self) -> str:
        """What must be seen before a promotion, and never was. Empty if nothing is missing."""
        return "; ".join(filter(None, (one.missing() for one in self._sights)))

    def bounds(self) -> str:
        """Of each metric that has a margin: how much worse the canary may still be, with confidence."""
        claims = [one for one in self.evidence.values() if one.metric.margin is not None]
        return "; ".join(
            f"{one.metric.name} at most {_points(max(one.upper, 0))} percentage points above its peers"
            f" ({_points(one.metric.margin or 0)} allowed)"
            for one in claims
        )


def _points(share: float) -> str:
    """Percentage points; `100`, never `1e+02`."""
    return f"{100 * share:.2g}" if share < 0.1 else f"{100 * share:.0f}"
