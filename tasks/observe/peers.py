"""Judge a canary by its peers: is it just another instance? Pure; numpy only.

Roll back when the average wealth of its bets, over all metrics, has grown 1 / alpha-fold and ten times as much as that of the
worst peer's: whoever is just another instance gets that rich, ever, with probability alpha, however often we look. Promote
when each metric's anytime-valid bound is below its margin, and the soak is over. Everything else is: keep observing, with
a forecast. What hits everybody moves no rank: a shared outage rolls nothing back.

The averages of e-values over metrics are e-values under any dependence (Vovk & Wang, AoS 2021); that every metric must pass
on its own needs no correction (Berger 1982). One wealth covers the whole rollout, through all its steps.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import inf, isfinite, log
from typing import Final

import numpy as np
from pydantic import JsonValue

from tasks.model import Judgement, Sample, Unseen, Verdict
from tasks.observe.evidence import Comparison, MetricEvidence
from tasks.observe.guarding import GUARD_REQUESTS
from tasks.observe.rules import SloJudge
from tasks.observe.scene import Onlooker, Scene, measures_of
from tasks.observe.trial import Trial
from tasks.observe.views import (
    Kind,
)
from tasks.service import Objectives, Observe

FALSE_ROLL_BACKS: Final = (
    0.01  # of all good releases, however often, at however many metrics and places it is looked
)
USUAL_BURST: Final = 10.0
SHOWN_FORECAST_BATCHES: Final = 100_000
NO_ODDS: Final = -50.0  # for the journal, which takes no infinity: nothing is above its floor


class PeerJudge:
    """Fits `rules.Judge`. It remembers which samples it was shown, so a look costs one batch; shown others, it starts anew:
    its judgement follows from the samples alone.

    `places`: in how many environments this release is judged; they share one budget of false alarms. `burst`: errors that
    come at a time, where it was measured. A rollout without peers is judged by its objectives alone (`SloJudge`).
    """

    def __init__(
        self, objectives: Objectives, settings: Observe, places: int = 1, burst: float | None = None
    ) -> None:
        self._objectives, self._settings = objectives, settings
        self._alone = SloJudge(objectives, settings)
        self._log_needed = log(max(1, places) / FALSE_ROLL_BACKS)
        self._burst = settings.burst or burst or USUAL_BURST
        self._trial = self._begin("", ())
        self._onlooker = Onlooker("", (), datetime.min.replace(tzinfo=UTC))

    def judge(
        self,
        samples: Sequence[Sample | Unseen],
        canary: str,
        peers: tuple[str, ...],
        started_at: datetime,
        now: datetime,
    ) -> Judgement:
        """`samples` may begin before `started_at`, with those of earlier steps and of an interrupted try: they are evidence
        of the same rollout. Soak and deadline count from `started_at`."""
        if not peers:
            here = [one for one in samples if one.at > started_at]
            return self._alone.judge(here, canary, peers, started_at, now)
        trial = self._caught_up(samples, canary, peers, started_at)
        scene = self._onlooker.scene(now)
        verdict, reason = self._decide(trial, scene)
        return Judgement(verdict, reason, self._numbers(trial, scene))

    def _begin(self, canary: str, peers: tuple[str, ...]) -> Trial:
        horizon = max(2, round(self._settings.deadline_seconds / self._settings.batch_seconds))
        return Trial(canary, peers, self._objectives, self._settings, horizon, self._burst)

    def _caught_up(
        self,
        samples: Sequence[Sample | Unseen],
        canary: str,
        peers: tuple[str, ...],
        started_at: datetime,
    ) -> Trial:
        trial, onlooker = self._trial, self._onlooker
        if trial.canary != canary or not trial.continues(samples):
            trial = self._trial = self._begin(canary, peers)
            onlooker = Onlooker("", (), started_at)
        trial.peers = peers
        new = samples[len(trial.shown) :]
        for sample in new:
            trial.see(sample)
        if (onlooker.canary, onlooker.peers, onlooker.started_at) != (canary, peers, started_at):
            onlooker, new = Onlooker(canary, peers, started_at), samples
        for sample in new:
            if sample.at > started_at:
                onlooker.see(sample)
        self._onlooker = onlooker
        return trial

    # ---- deciding --------------------------------------------------------------------------------

    def _decide(self, trial: Trial, scene: Scene) -> tuple[Verdict, str]:
        if scene.blind or scene.missed_requests >= 15:
            return self._alone.decide(
                scene, measures_of(self._objectives, scene.canary, scene.peers)
            )
        if guilty := trial.mostly_failing():
            return Verdict.ROLL_BACK, guilty
        total, top = trial.log_odds()
        if total >= self._log_needed and top is not None and top.stands_out:
            return Verdict.ROLL_BACK, _guilty(top, total)
        total, top = trial.log_odds(among_peers=False)
        if total >= self._log_needed and top is not None:
            return self._alone.hold(scene, _sick_peer(top))
        if guilty := self._over_budget(trial, scene):
            return Verdict.ROLL_BACK, guilty
        if burning := self._burning(scene):
            return self._alone.hold(scene, burning)
        if missing := self._missing(trial, scene):
            return self._alone.hold(scene, missing)
        return Verdict.PROMOTE, self._praise(trial, scene)

    def _over_budget(self, trial: Trial, scene: Scene) -> str:
        """The share of the service's monthly error budget that one rollout may spend, at the traffic seen."""
        errors = trial.evidence["errors"].counts
        if not errors.total or not errors.others or not scene.seen_seconds:
            return ""
        monthly = (errors.total + errors.others) / trial.seconds * 30 * 86_400
        allowed = 0.01 * (1 - self._objectives.errors.objective) * monthly
        excess = errors.bad - errors.total * errors.others_bad / errors.others
        if excess < max(allowed, GUARD_REQUESTS):
            return ""
        return (
            f"errors: {excess:.0f} more requests failed than among its peers; one rollout may spend 1 % of a month's error"
            f" budget, which is {allowed:.0f} at this traffic (guard)"
        )

    def _burning(self, scene: Scene) -> str:
        """The canary is no worse than its peers, but the service's objective is broken: no time to change things."""
        for one in measures_of(self._objectives, scene.canary, scene.peers):
            significance = FALSE_ROLL_BACKS / (scene.looks * (scene.looks + 1))
            if one.chance <= significance and one.shared(significance):
                return (
                    f"{one}, but its peers are no better ({one.peers_bad} of {one.peers_total}): the world burns, this is"
                    " not the time to change things"
                )
        return ""

    def _missing(self, trial: Trial, scene: Scene) -> str:
        soak = self._settings.minimum_seconds - scene.seen_seconds
        short = self._settings.minimum_requests - scene.canary.requests
        batches = max((one.batches_to_go for one in trial.evidence.values()), default=inf)
        if batches == 0 and soak <= 0 and short <= 0:
            return ""
        if not isfinite(batches) or batches > SHOWN_FORECAST_BATCHES:
            return "not enough was seen to say anything yet"
        bound = batches * self._settings.batch_seconds
        by_count = short / scene.rate if short > 0 and scene.rate else 0.0
        wait = max(bound, soak, by_count)
        words = "good so far" if bound <= 0 else f"good so far: {trial.bounds()}"
        left = self._settings.deadline_seconds - scene.elapsed_seconds
        late = f", later than the deadline in {left:.0f} s" if wait > left > 0 else ""
        return f"{words}; about {wait:.0f} s more at this traffic{late}"

    def _praise(self, trial: Trial, scene: Scene) -> str:
        return f"{trial.bounds()}; {_compared(trial)}; seen for {scene.seen_seconds:.0f} s"

    def _numbers(self, trial: Trial, scene: Scene) -> dict[str, JsonValue]:
        measures = measures_of(self._objectives, scene.canary, scene.peers)
        found = self._alone.numbers(scene, measures)
        total, _ = trial.log_odds()
        found["log_odds"] = round(max(total, NO_ODDS), 4)
        found["log_odds_needed"] = round(self._log_needed, 4)
        found["burst"] = self._burst
        for name, one in trial.evidence.items():
            found[f"{name}: log odds"] = round(one.log_odds, 4)
            found[f"{name}: difference"] = round(one.difference, 6)
            found[f"{name}: compared"] = one.comparison.value
            if one.metric.margin is not None:
                found[f"{name}: at most"] = round(one.upper, 6)
                found[f"{name}: margin"] = one.metric.margin
        return found


def _compared(trial: Trial) -> str:
    return trial.evidence["errors"].comparison.value


def _guilty(top: MetricEvidence, total: float) -> str:
    odds = f"{np.exp(min(total, 30.0)):,.0f}:1" if total < 30 else "more than a billion to 1"
    found = top.counts
    shares = ""
    if top.metric.kind is Kind.RATIO and found.total and found.others:
        shares = (
            f" {found.bad / found.total:.2%} of {found.total:.0f} requests, its peers"
            f" {found.others_bad / found.others:.2%} of {found.others:.0f};"
        )
    how = "" if top.comparison is Comparison.RANKED else f"; {top.comparison.value}"
    return f"{top.metric.name}:{shares} odds {odds} against 'just another instance'{how}"


def _sick_peer(top: MetricEvidence) -> str:
    return (
        f"{top.metric.name}: the canary looks bad, but so does {top.worst_peer}, which runs the stable artifact: what differs"
        " may be the machine"
    )
