"""Judge a release after its promotion: is it worse than the group before it was? Pure.

Nobody shares the traffic any more, so it is compared with the last samples of the previous group (its fresh baseline among
them): batch by batch, and only by ranks, so that errors and slow answers which come many at a time count as the one batch
they fell into. The tests are exact, and their error is spent over all looks: look number k may spend 1 / (k (k + 1)) of it.
Each metric is compared over the whole watch, and over its newest batches, so that a late fault is not thinned out by a good
beginning. The objectives are the backstop (`SloJudge`): what breaks them grossly is not waited for.

What hits everybody cannot be told from a bad release here: there is no peer to ask. So a difference must not only be
certain, it must also be one for which nobody would have been promoted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from pydantic import JsonValue

from tasks.model import Judgement, LatencyHistogram, Sample, Unseen, Verdict
from tasks.observe.counting import Traffic, add, surely_above, totals
from tasks.observe.growth import Growths, growths
from tasks.observe.merging import Window
from tasks.observe.rules import SloJudge
from tasks.observe.tails import chance_of_ranks
from tasks.observe.views import SLOW_MARGIN, errors_metric, histogram_views
from tasks.service import Objectives, Observe
from tasks.sources import Sli

FALSE_ROLL_BACKS: Final = 0.01  # of all good releases, over the whole watch
RECENT_BATCHES: Final = 10

Bad = Callable[[Traffic], tuple[int, int]]


@dataclass(frozen=True)
class Metric:
    """Bad of all requests of some traffic, in words; a smaller difference than `least` takes nothing back."""

    what: str
    bad: Bad
    least: float


@dataclass(frozen=True)
class Comparison:
    """One metric of the release now and of the group before it, batch by batch."""

    metric: Metric
    now: tuple[Traffic, ...]
    before: tuple[Traffic, ...]

    @property
    def difference(self) -> float:
        (bad, total), (bad_before, total_before) = self._sum(self.now), self._sum(self.before)
        if not total or not total_before:
            return 0.0
        return bad / total - bad_before / total_before

    @property
    def chance(self) -> float:
        """How often its batches would rank so high if nothing had changed."""
        now, before = self._shares(self.now), self._shares(self.before)
        return chance_of_ranks(now, before) if now and before else 1.0

    def _shares(self, batches: tuple[Traffic, ...]) -> list[float]:
        counted = map(self.metric.bad, batches)
        return [bad / total for bad, total in counted if total]

    def _sum(self, batches: tuple[Traffic, ...]) -> tuple[int, int]:
        counted = [self.metric.bad(one) for one in batches]
        return sum(bad for bad, _ in counted), sum(total for _, total in counted)

    def __str__(self) -> str:
        (bad, total), (bad_before, total_before) = self._sum(self.now), self._sum(self.before)
        return (
            f"{bad} of {total} requests {self.metric.what}, in {len(self.now)} batches; before,"
            f" {bad_before} of {total_before}"
        )


class RegressionJudge:
    """Fits `rules.Judge`: the canary is the promoted release, its peers are the groups before it, which were seen until
    `started_at`. It rolls back or keeps observing; that the watch is over is for its caller to know."""

    def __init__(self, objectives: Objectives, settings: Observe, slis: Sequence[Sli] = ()) -> None:
        self._objectives, self._settings, self._slis = objectives, settings, slis
        self._slo = SloJudge(objectives, settings)

    def judge(
        self,
        samples: Sequence[Sample | Unseen],
        canary: str,
        peers: tuple[str, ...],
        started_at: datetime,
        now: datetime,
    ) -> Judgement:
        """`samples` begin before `started_at`, with those of the rollout."""
        seen = [one for one in samples if isinstance(one, Sample)]
        warm = started_at + timedelta(seconds=self._settings.warm_up_seconds)
        earlier = [one for one in seen if one.at <= started_at]
        since = [one for one in seen if one.at > started_at]
        after = [one for one in since if one.at - timedelta(seconds=one.seconds) >= warm]
        before, batches = self._batches(earlier, set(peers)), self._batches(after, {canary})
        whole = self._comparisons(batches, before)
        newest = self._comparisons(batches[-RECENT_BATCHES:], before)
        gauges = growths(earlier, since, canary, set(peers), self._slis)
        numbers = self._numbers(whole, gauges, len(batches))
        allowed = FALSE_ROLL_BACKS / max(1, len(whole) + len(newest) + len(gauges))
        if worse := _worse([*whole, *newest], gauges, allowed, max(1, len(batches))):
            return Judgement(Verdict.ROLL_BACK, worse, numbers)
        return self._backstop(samples, canary, peers, started_at, now, numbers)

    def _batches(self, samples: Sequence[Sample], groups: set[str]) -> tuple[Traffic, ...]:
        window = Window(self._settings.batch_seconds)
        merged = (batch for one in samples for batch in window.add(one))
        found = (totals([one], groups) for one in merged)
        return tuple(one for one in found if one.requests)

    def _comparisons(
        self, now: tuple[Traffic, ...], before: tuple[Traffic, ...]
    ) -> list[Comparison]:
        return [Comparison(metric, now, before) for metric in self._metrics(before)] if now else []

    def _metrics(self, before: tuple[Traffic, ...]) -> list[Metric]:
        """The latency's by what was seen before the promotion, never by what is judged."""
        errors = errors_metric(self._objectives, self._settings).margin or 0.0
        found = [Metric("failed", lambda one: (one.failures, one.requests), errors)]
        if objective := self._objectives.latency:
            least = self._settings.margin or SLOW_MARGIN
            found.append(_slower_than(objective.threshold_ms, least))
        past = LatencyHistogram() if not before else _all(before)
        if views := histogram_views(past, None):
            edge = views.bounds_ms[views.slow_from - 1]
            usual = surely_above(past, edge) / past.total
            found.append(_slower_than(edge, max(SLOW_MARGIN, usual)))  # twice as many as before
        return found

    def _backstop(
        self,
        samples: Sequence[Sample | Unseen],
        canary: str,
        peers: tuple[str, ...],
        started_at: datetime,
        now: datetime,
        numbers: dict[str, JsonValue],
    ) -> Judgement:
        """The objectives, by what was seen since the promotion."""
        shown = [one if one.at > started_at else _without(one, canary) for one in samples]
        found = self._slo.judge(shown, canary, peers, started_at, now)
        if found.verdict is Verdict.ROLL_BACK:
            return Judgement(found.verdict, found.reason, {**numbers, **found.numbers})
        return Judgement(Verdict.KEEP_OBSERVING, "no worse than the group before it", numbers)

    def _numbers(
        self, found: Sequence[Comparison], gauges: Sequence[Growths], batches: int
    ) -> dict[str, JsonValue]:
        numbers: dict[str, JsonValue] = {"batches": batches}
        for one in found:
            numbers[f"{one.metric.what}: difference"] = round(one.difference, 6)
            numbers[f"{one.metric.what}: by chance"] = one.chance
        for growth in gauges:
            numbers[f"{growth.gauge}: growth"] = float(np.median(growth.now))
            numbers[f"{growth.gauge}: growth before"] = float(np.median(growth.before))
            numbers[f"{growth.gauge}: by chance"] = growth.chance
        return numbers


def _slower_than(threshold_ms: float, least: float) -> Metric:
    def bad(one: Traffic) -> tuple[int, int]:
        return surely_above(one.latency, threshold_ms), one.latency.total

    return Metric(f"took longer than {threshold_ms:g} ms", bad, least)


def _all(batches: Sequence[Traffic]) -> LatencyHistogram:
    found = LatencyHistogram()
    for one in batches:
        found = add(found, one.latency)
    return found


def _worse(
    found: Sequence[Comparison], gauges: Sequence[Growths], allowed: float, looks: int
) -> str:
    """What is, in words; empty if nothing."""
    for one in found:
        if one.difference >= one.metric.least and one.chance <= allowed / (looks * (looks + 1)):
            return str(one)
    for growth in gauges:
        if growth.matters and growth.chance <= allowed / (growth.looks * (growth.looks + 1)):
            return str(growth)
    return ""


def _without(sample: Sample | Unseen, group: str) -> Sample | Unseen:
    if isinstance(sample, Unseen):
        return sample
    kept = tuple(one for one in sample.instances if one.group != group)
    return replace(sample, instances=kept)
