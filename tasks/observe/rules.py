"""Judge a canary by what its users were promised. Pure: samples in, a judgement out.

`SloJudge` asks whether the canary breaks the service's objectives by more than chance explains. It is exact for
failures that are independent of one another; it does not see a canary that is worse than its peers but still within
the objectives, and a burst of failures that hits the canary alone can look like a bad artifact. A judge that compares
with peers and forgives bursts can replace it: it only has to be a `Judge`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Final, Protocol

from pydantic import JsonValue

from tasks.model import Judgement, Sample, Unseen, Verdict
from tasks.observe.counting import difference, quantile_ms, share_within
from tasks.observe.scene import Measure, Scene, measures_of, scene_of
from tasks.service import Objectives, Observe

__all__ = ["Judge", "SloJudge", "difference"]

FALSE_ROLL_BACKS: Final = 0.01  # at most, per observed step, however often it is looked
CLEARLY: Final = 1e-6  # so unlikely by chance that `minimum_requests` need not be waited for ...
CLEARLY_REQUESTS: Final = 50  # ... but a handful of requests can be one user's retries
SILENT_REQUESTS: Final = 15  # due and not seen: by chance once in 3 million times


class Judge(Protocol):
    """What the rollout asks at every look. It is shown everything since `started_at` again each time, so it keeps no
    state, and a journal of samples is enough to repeat its decision."""

    def judge(
        self,
        samples: Sequence[Sample | Unseen],
        canary: str,
        peers: tuple[str, ...],
        started_at: datetime,
        now: datetime,
    ) -> Judgement:
        """`canary` and `peers` are names of groups; peers are those that share the traffic, none on a first rollout."""


@dataclass(frozen=True)
class SloJudge:
    """Rolls back what breaks the objectives beyond chance, promotes what meets them for long enough, and otherwise
    says what is missing.

    Looking often does not inflate false alarms: look number k may spend FALSE_ROLL_BACKS / (k (k + 1)), which sums to
    FALSE_ROLL_BACKS over any number of looks, shared between the objectives. The price is some patience; the betting
    judge that comes next pays less.
    """

    objectives: Objectives
    settings: Observe

    def judge(
        self,
        samples: Sequence[Sample | Unseen],
        canary: str,
        peers: tuple[str, ...],
        started_at: datetime,
        now: datetime,
    ) -> Judgement:
        scene = scene_of(samples, canary, peers, started_at, now)
        measures = measures_of(self.objectives, scene.canary, scene.peers)
        verdict, reason = self.decide(scene, measures)
        return Judgement(verdict, reason, self.numbers(scene, measures))

    def decide(self, scene: Scene, measures: tuple[Measure, ...]) -> tuple[Verdict, str]:
        """Verdict and reason."""
        if scene.blind:
            return self._blindness(scene, scene.blind)
        significance = FALSE_ROLL_BACKS / len(measures) / (scene.looks * (scene.looks + 1))
        broken = [one for one in measures if self._broken(scene, one, significance)]
        for one in broken:
            if not one.shared(significance):
                return Verdict.ROLL_BACK, _guilty(one)
        if broken:
            return self.hold(scene, _world_burns(broken[0]))
        if scene.missed_requests >= SILENT_REQUESTS:
            return self._silence(scene)
        if not (missing := self._missing(scene, measures)):
            return Verdict.PROMOTE, self._praise(scene, measures)
        return self.hold(scene, missing)

    def _broken(self, scene: Scene, one: Measure, significance: float) -> bool:
        chance = one.chance
        if scene.canary.requests >= self.settings.minimum_requests:
            return chance <= significance
        return one.total >= CLEARLY_REQUESTS and chance <= min(CLEARLY, significance)

    def _blindness(self, scene: Scene, blind: Unseen) -> tuple[Verdict, str]:
        said = (
            f"the metrics source could not be read for {scene.blind_seconds:.0f} s ({blind.reason});"
            " that says nothing about the canary"
        )
        if scene.blind_seconds >= self.settings.patience_seconds:
            return Verdict.INCONCLUSIVE, f"{said}, and patience ended"
        return self.hold(scene, f"{said}: weights stay as they are")

    def _silence(self, scene: Scene) -> tuple[Verdict, str]:
        """Not ROLL_BACK: requests that were sent and got no answer are counted as failures, so silence means that
        nothing was sent. That is about routing; it makes nobody suffer, and says nothing about the artifact."""
        said = (
            f"the canary answered nothing for {scene.silent_seconds:.0f} s while about {scene.missed_requests:.0f}"
            f" requests were due (peers answered {scene.peers.requests}); not seeing is not health"
        )
        if scene.silent_seconds >= self.settings.patience_seconds:
            return (
                Verdict.INCONCLUSIVE,
                f"{said}; see its weight and its health in `bakewell status`",
            )
        return self.hold(scene, said)

    def _missing(self, scene: Scene, measures: tuple[Measure, ...]) -> str:
        """What still speaks against promotion, with a forecast; empty if nothing does."""
        wanted = self.settings.minimum_requests
        short = max(wanted - one.total for one in measures)
        soak = self.settings.minimum_seconds - scene.seen_seconds
        if short > 0:
            return f"{_seen(scene, measures, wanted)}, {self._forecast(scene, short, soak)}"
        if doubtful := [one for one in measures if not one.met]:
            return self._doubt(scene, doubtful[0])
        return f"good so far, {self._forecast(scene, 0, soak)}" if soak > 0 else ""

    def _doubt(self, scene: Scene, one: Measure) -> str:
        if one.bad <= one.allowed * one.total:
            return (
                f"{one}, but of {one.unsure} more the histogram cannot tell:"
                " choose a threshold that is one of its bounds"
            )
        needed = ceil(one.bad / one.allowed) - one.total
        return f"{one}: too many, but it may be chance; {self._forecast(scene, needed, 0)} without a bad one settle it"

    def _forecast(self, scene: Scene, requests: int, soak: float) -> str:
        if requests > 0 and scene.rate == 0:
            return "and no traffic to forecast from"
        wait = max(requests / scene.rate if requests > 0 else 0.0, soak)
        left = self.settings.deadline_seconds - scene.elapsed_seconds
        late = f", later than the deadline in {left:.0f} s" if wait > left > 0 else ""
        return f"about {wait:.0f} s more at this traffic{late}"

    def hold(self, scene: Scene, reason: str) -> tuple[Verdict, str]:
        """KEEP_OBSERVING for this reason, until the deadline; then INCONCLUSIVE."""
        if scene.elapsed_seconds < self.settings.deadline_seconds:
            return Verdict.KEEP_OBSERVING, reason
        short = max(0, self.settings.minimum_requests - scene.canary.requests)
        missing = f"; {short} requests were missing" if short else ""
        return (
            Verdict.INCONCLUSIVE,
            f"no verdict within {self.settings.deadline_seconds:.0f} s{missing}: {reason}",
        )

    def _praise(self, scene: Scene, measures: tuple[Measure, ...]) -> str:
        return f"{'; '.join(map(str, measures))}; seen for {scene.seen_seconds:.0f} s"

    def numbers(self, scene: Scene, measures: tuple[Measure, ...]) -> dict[str, JsonValue]:
        """What is behind it, for the report."""
        latency = scene.canary.latency
        found: dict[str, JsonValue] = {
            "requests": scene.canary.requests,
            "failures": scene.canary.failures,
            "failure_share": round(scene.canary.failure_share, 6),
            "failure_share_allowed": round(measures[0].allowed, 6),
            "failures_by_chance": measures[0].chance,
            "peers_requests": scene.peers.requests,
            "peers_failures": scene.peers.failures,
            "peers_failure_share": round(scene.peers.failure_share, 6),
            "p50_ms": quantile_ms(latency, 0.5),
            "p99_ms": quantile_ms(latency, 0.99),
            "looks": scene.looks,
            "seen_seconds": round(scene.seen_seconds, 3),
            "elapsed_seconds": round(scene.elapsed_seconds, 3),
            "blind_seconds": round(scene.blind_seconds, 3),
        }
        if slow := self.objectives.latency:
            found["threshold_ms"] = slow.threshold_ms
            found["share_within"] = round(share_within(latency, slow.threshold_ms), 6)
            found["share_within_wanted"] = slow.objective
            found["slow_by_chance"] = measures[1].chance
        return found


def _seen(scene: Scene, measures: tuple[Measure, ...], wanted: int) -> str:
    shortest = min(measures, key=lambda one: one.total)
    if 2 * shortest.total >= scene.canary.requests:  # histograms may be a moment behind counters
        return f"{shortest.total} of {wanted} requests seen"
    return f"the latency of {shortest.total} requests seen, of {wanted} is needed (answered were {scene.canary.requests})"


def _guilty(one: Measure) -> str:
    chance = f"once in {1 / one.chance:,.0f} times" if one.chance > 1e-9 else "practically never"
    peers = (
        f"; of its peers' {one.peers_total} requests {one.peers_bad} did" if one.peers_total else ""
    )
    return f"{one}; a canary that keeps its objective looks so {chance}{peers}"


def _world_burns(one: Measure) -> str:
    return (
        f"{one}, but its peers are no better ({one.peers_bad} of {one.peers_total}):"
        " the world burns, this is not the time to change things"
    )
