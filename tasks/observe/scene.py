"""What a judge sees: everything that happened until now, and how it counts against each objective. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tasks.model import LatencyHistogram, Sample, Unseen
from tasks.observe.counting import Traffic, surely_above, surely_within, totals
from tasks.observe.tails import at_least, at_least_of
from tasks.service import LatencyObjective, Objectives

LEAST_SHARE: Final = 0.01  # of its peers' traffic, that a canary which never answered was due


@dataclass(frozen=True)
class Measure:
    """How the canary's requests count against one objective: `bad` broke it, of `unsure` it cannot be told."""

    what: str
    allowed: float
    bad: int
    unsure: int
    total: int
    peers_bad: int
    peers_total: int

    @property
    def met(self) -> bool:
        return self.total > 0 and self.bad + self.unsure <= self.allowed * self.total

    @property
    def chance(self) -> float:
        """How often a canary that just meets the objective would look this bad."""
        return at_least(self.bad, self.total, self.allowed)

    def shared(self, significance: float) -> bool:
        """The peers break it as well, and the canary is not provably worse than they are."""
        if self.peers_bad <= self.allowed * self.peers_total:
            return False
        bad, total = self.bad + self.peers_bad, self.total + self.peers_total
        return at_least_of(self.bad, self.total, bad, total) > significance

    def __str__(self) -> str:
        share = self.bad / self.total if self.total else 0.0
        return f"{self.bad} of {self.total} requests {self.what} ({share:.2%}, {self.allowed:.2%} allowed)"


@dataclass(frozen=True)
class Scene:
    """All that was seen until now.

    `blind` is the newest sample if it could not be seen, `blind_seconds` the time since the last that could.
    `missed_requests` were due, but not answered, in the `silent_seconds` since the canary's last answer.
    """

    canary: Traffic
    peers: Traffic
    looks: int
    seen_seconds: float
    elapsed_seconds: float
    blind: Unseen | None
    blind_seconds: float
    silent_seconds: float
    missed_requests: float

    @property
    def rate(self) -> float:
        return self.canary.requests / self.seen_seconds if self.seen_seconds else 0.0


def measures_of(objectives: Objectives, canary: Traffic, peers: Traffic) -> tuple[Measure, ...]:
    """The errors first, then the latency if there is an objective for it."""
    errors = Measure(
        "failed",
        _allowed(objectives.errors.objective),
        min(canary.failures, canary.requests),
        0,
        canary.requests,
        min(peers.failures, peers.requests),
        peers.requests,
    )
    slow = objectives.latency
    return (errors,) if slow is None else (errors, _slowness(slow, canary, peers))


def _slowness(slow: LatencyObjective, canary: Traffic, peers: Traffic) -> Measure:
    above = surely_above(canary.latency, slow.threshold_ms)
    within = surely_within(canary.latency, slow.threshold_ms)
    return Measure(
        f"took longer than {slow.threshold_ms:g} ms",
        _allowed(slow.objective),
        above,
        canary.latency.total - above - within,
        canary.latency.total,
        surely_above(peers.latency, slow.threshold_ms),
        peers.latency.total,
    )


def _allowed(objective: float) -> float:
    """Rounded: 1 - 0.9 is a little less than 0.1, and would refuse 10 of 100."""
    return round(1 - objective, 12)


def scene_of(
    samples: Sequence[Sample | Unseen],
    canary: str,
    peers: tuple[str, ...],
    started_at: datetime,
    now: datetime,
) -> Scene:
    onlooker = Onlooker(canary, peers, started_at)
    for sample in samples:
        onlooker.see(sample)
    return onlooker.scene(now)


class Onlooker:
    """Adds up what it is shown, so that a look costs no more at the end of a rollout than at its beginning."""

    def __init__(self, canary: str, peers: tuple[str, ...], started_at: datetime) -> None:
        self.canary, self.peers, self.started_at = canary, peers, started_at
        self._own, self._others = _NOTHING, _NOTHING
        self._last: Sample | Unseen | None = None
        self._last_seen_at = started_at
        self._looks, self._seconds = 0, 0.0
        self._silent_seconds, self._peers_meanwhile = 0.0, 0

    def see(self, sample: Sample | Unseen) -> None:
        self._last = sample
        if isinstance(sample, Unseen):
            return
        own, others = totals([sample], {self.canary}), totals([sample], set(self.peers))
        self._own, self._others = self._own.plus(own), self._others.plus(others)
        self._looks, self._seconds = self._looks + 1, self._seconds + sample.seconds
        self._last_seen_at = sample.at
        silent = not own.requests
        self._silent_seconds = silent * (self._silent_seconds + sample.seconds)
        self._peers_meanwhile = silent * (self._peers_meanwhile + others.requests)

    def scene(self, now: datetime) -> Scene:
        return Scene(
            self._own,
            self._others,
            max(1, self._looks),
            self._seconds,
            (now - self.started_at).total_seconds(),
            self._last if isinstance(self._last, Unseen) else None,
            (now - self._last_seen_at).total_seconds(),
            self._silent_seconds,
            self._due(),
        )

    def _due(self) -> float:
        """Requests the canary should have answered during its silence, from the share it had before."""
        before = self._others.requests - self._peers_meanwhile
        share = self._own.requests / before if self._own.requests and before else LEAST_SHARE
        return share * self._peers_meanwhile


_NOTHING: Final = Traffic(0, 0, LatencyHistogram())
