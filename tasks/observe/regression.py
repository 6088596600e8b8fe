"""Judge a release after its promotion: is it worse than the group before it was? Pure.

Nobody shares the traffic any more, so it is compared with the last samples of the previous group (those of its fresh
baseline among them), by exact tests whose error is spent over all looks: look number k may spend 1 / (k (k + 1)) of it. Each
share is compared over the whole watch, and over its newest minute, so that a late fault is not thinned out by a good
beginning. The objectives are the backstop (`SloJudge`).

What hits everybody cannot be told from a bad release here: there is no peer to ask. So a difference must not only be
certain, it must also be one for which nobody would have been promoted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import floor
from typing import Final

import numpy as np
from pydantic import JsonValue

from tasks.model import Judgement, LatencyHistogram, Sample, Unseen, Verdict
from tasks.observe.counting import Traffic, totals
from tasks.observe.growth import Growths, growths
from tasks.observe.rules import SloJudge
from tasks.observe.scene import measures_of
from tasks.observe.tails import at_least_of
from tasks.observe.views import SLOW_MARGIN, LatencyViews, errors_metric, latency_views
from tasks.service import Objectives, Observe

FALSE_ROLL_BACKS: Final = 0.01  # of all good releases, over the whole watch
USUAL_BURST: Final = 10.0  # errors that come at a time, where nobody said or measured it
RECENT_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Comparison:
    """Bad of all requests, now and before. A difference smaller than `least` takes nothing back; bad ones come `burst` at
    a time, and such a burst counts as one."""

    what: str
    bad: int
    total: int
    bad_before: int
    total_before: int
    least: float
    burst: float = 1.0

    @property
    def difference(self) -> float:
        if not self.total or not self.total_before:
            return 0.0
        return self.bad / self.total - self.bad_before / self.total_before

    @property
    def chance(self) -> float:
        """How often it would be at least so much worse if nothing had changed (Fisher's exact test)."""
        counts = (self.bad, self.total, self.bad_before, self.total_before)
        bad, total, bad_before, before = (floor(one / self.burst) for one in counts)
        return at_least_of(bad, total, bad + bad_before, total + before)

    def __str__(self) -> str:
        return (
            f"{self.bad} of {self.total} requests {self.what}; before, {self.bad_before} of"
            f" {self.total_before}"
        )


class RegressionJudge:
    """Fits `rules.Judge`: the canary is the promoted release, its peers are the groups before it, which were seen until
    `started_at`. It rolls back or keeps observing; that the watch is over is for its caller to know."""

    def __init__(
        self, objectives: Objectives, settings: Observe, burst: float | None = None
    ) -> None:
        self._objectives, self._settings = objectives, settings
        self._slo = SloJudge(objectives, settings)
        self._burst = settings.burst or burst or USUAL_BURST

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
        earlier = [one for one in seen if one.at <= started_at]
        before = totals(earlier, set(peers))
        after = [one for one in seen if one.at > started_at]
        recent = [one for one in after if one.at > now - timedelta(seconds=RECENT_SECONDS)]
        whole = self._comparisons(totals(after, {canary}), before)
        newest = self._comparisons(totals(recent, {canary}), before)
        gauges = growths(earlier, after, canary, set(peers))
        numbers = self._numbers(whole, gauges, len(after))
        allowed = FALSE_ROLL_BACKS / (len(whole) + len(newest) + len(gauges))
        if worse := _worse([*whole, *newest], gauges, allowed, max(1, len(after))):
            return Judgement(Verdict.ROLL_BACK, worse, numbers)
        return self._backstop(samples, canary, peers, started_at, now, numbers)

    def _comparisons(self, now: Traffic, before: Traffic) -> list[Comparison]:
        errors = errors_metric(self._objectives, self._settings).margin or 0.0
        slow = self._settings.margin or SLOW_MARGIN
        found = [
            Comparison(one.what, one.bad, one.total, one.peers_bad, one.peers_total, *least)
            for one, least in zip(
                measures_of(self._objectives, now, before),
                ((errors, self._burst), (slow, 1.0)),
                strict=False,
            )
        ]
        if views := latency_views(before.latency, self._objectives):
            found.append(_slowness(now.latency, before.latency, views))
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
        self, found: Sequence[Comparison], gauges: Sequence[Growths], looks: int
    ) -> dict[str, JsonValue]:
        numbers: dict[str, JsonValue] = {"looks": looks, "burst": self._burst}
        for one in found:
            numbers[f"{one.what}: requests"], numbers[f"{one.what}: bad"] = one.total, one.bad
            numbers[f"{one.what}: difference"] = round(one.difference, 6)
        for growth in gauges:
            numbers[f"{growth.gauge}: growth"] = float(np.mean(growth.now))
            numbers[f"{growth.gauge}: growth before"] = float(np.mean(growth.before))
        return numbers


def _slowness(now: LatencyHistogram, before: LatencyHistogram, views: LatencyViews) -> Comparison:
    """Above what nine of ten requests took before: a difference counts when they are twice as many."""
    start, same = views.slow_from, now.bounds_ms == before.bounds_ms
    slow_before = sum(before.counts[start:])
    return Comparison(
        f"took longer than {views.bounds_ms[start - 1]:g} ms",
        sum(now.counts[start:]) if same else 0,
        now.total if same else 0,
        slow_before,
        before.total,
        max(SLOW_MARGIN, slow_before / before.total),
    )


def _worse(
    found: Sequence[Comparison], gauges: Sequence[Growths], allowed: float, looks: int
) -> str:
    """What is, in words; empty if nothing."""
    for one in found:
        if one.difference >= one.least and one.chance <= allowed / (looks * (looks + 1)):
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
