"""The trial of one canary: what was shown of it, batch by batch, and the evidence that follows from it.

Each sample counts once, in the batch it falls into; what could not be seen is no batch, for nobody.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, log
from typing import Final

import numpy as np

from tasks.model import InstanceTraffic, Sample, Unseen
from tasks.observe.evidence import MetricEvidence
from tasks.observe.merging import Window
from tasks.observe.sights import sights_of
from tasks.observe.views import Kind, errors_metric
from tasks.service import Objectives, Observe
from tasks.sources import Sli

GUARD_SHARE: Final = 0.5
GUARD_REQUESTS: Final = 50


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
        self._sights = sights_of(objectives, settings, slis)
        metric = errors_metric(objectives, settings)
        self.evidence = {metric.name: MetricEvidence(metric, horizon, burst)}

    def continues(self, samples: Sequence[Sample | Unseen]) -> bool:
        """Do these begin with what was shown already?"""
        count = len(self.shown)
        return len(samples) >= count and (count == 0 or samples[count - 1] == self.shown[-1])

    def see(self, sample: Sample | Unseen) -> None:
        """A batch that could not be seen is no batch, for nobody: it is never filled with zeros."""
        self.shown.append(sample)
        if isinstance(sample, Unseen):
            return
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
        for sight in self._sights:
            for metric, found in sight.look(batch.seconds, both):
                if metric.name not in self.evidence:
                    self.evidence[metric.name] = MetricEvidence(metric, self._horizon, self._burst)
                evidence = self.evidence[metric.name]
                evidence.update(found.only(here), found.only(there), names, batch.seconds)

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

    def log_odds(self) -> tuple[float, MetricEvidence | None]:
        """The average e-value over all metrics, as a logarithm, and the metric that weighs most. Differences under a
        metric's floor count nothing."""
        found = list(self.evidence.values())
        logs = [one.log_odds if one.difference >= one.metric.floor else -inf for one in found]
        total = float(np.logaddexp.reduce(logs)) - log(len(found))
        return total, found[int(np.argmax(logs))] if isfinite(max(logs)) else None

    def mostly_failing(self) -> str:
        """Not statistics: a limit of harm, whatever the cause. Empty if it is kept."""
        for evidence in self.evidence.values():
            if evidence.metric.kind is not Kind.RATIO or evidence.metric.margin is None:
                continue
            recent = [one for _, one in evidence.recent]
            bad, total = sum(one.bad for one in recent), sum(one.total for one in recent)
            others, all_others = (
                sum(one.others_bad for one in recent),
                sum(one.others for one in recent),
            )
            if total < GUARD_REQUESTS or bad / total < GUARD_SHARE:
                continue
            if others <= GUARD_SHARE / 10 * max(all_others, 1):
                name = evidence.metric.name
                return f"{name}: {bad:.0f} of its last {total:.0f} requests; of its peers' {others:.0f} (guard)"
        return ""

    def unseen(self) -> str:
        """What must be seen before a promotion, and never was. Empty if nothing is missing."""
        return "; ".join(filter(None, (one.missing() for one in self._sights)))

    def bounds(self) -> str:
        """Of each metric that has a margin: how much worse the canary may still be, with confidence."""
        claims = [one for one in self.evidence.values() if one.metric.margin is not None]
        return "; ".join(
            f"{one.metric.name} at most {100 * max(one.upper, 0):.2g} percentage points above its peers"
            f" ({100 * (one.metric.margin or 0):.2g} allowed)"
            for one in claims
        )
