"""What the judge will be able to say, and when, at a given traffic: simulated with its own bets before any rollout. Pure.

A few hundred imagined rollouts for each fault, with a fixed seed: the same question has the same answer.
"""

from dataclasses import dataclass
from math import inf, log, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.model import LatencyHistogram
from tasks.observe.betting import (
    SAFE,
    SHAPES,
    WORSE,
    Floats,
    Wealth,
    count_log_bets,
    rank_log_bets,
    stakes,
    vote_log_bets,
)
from tasks.observe.evidence import FEWEST_PEERS, PROMOTION_ERROR
from tasks.observe.guarding import GUARD_REQUESTS, GUARD_SHARE
from tasks.observe.peers import FALSE_ROLL_BACKS
from tasks.observe.views import USUAL_ERRORS

RUNS: Final = 200
METRICS: Final = 4  # errors, and three views of latency: the judge averages over them
SLOW_QUANTILE: Final = 0.85  # as the judge chooses the edge of "slow requests"


@dataclass(frozen=True)
class Slower:
    """What is above the quantile takes `factor` times as long; 0: everything does."""

    factor: float
    above_quantile: float = 0.0


@dataclass(frozen=True)
class Situation:
    """Requests per second of one canary instance and of everybody else, peers of its load, and what is configured."""

    canary_rate: float
    others_rate: float
    peers: int
    usual: float
    batch_seconds: float
    horizon_seconds: float
    margin: float
    burst: float


@dataclass(frozen=True)
class Forecast:
    """In which share of the rollouts there will be a verdict before the deadline, its median time (None: in fewer than
    half), and how many requests will have failed until then, by the canary and on average."""

    share: float
    median_seconds: float | None
    failed_requests: float


def until_rolled_back(here: Situation, failing: float) -> Forecast:
    """Of a version that fails this share of its requests."""
    rng, bets = np.random.default_rng(1), _Bets(here)
    found, failed = np.full(RUNS, inf), np.zeros(RUNS)
    for number in range(1, bets.batches + 1):
        total, bad = _drawn(rng, here.canary_rate * here.batch_seconds, failing, (RUNS,))
        bets.on_share(rng, total, bad, here.usual)
        failed += np.where(np.isinf(found), bad, 0)
        guard = (total >= GUARD_REQUESTS) & (bad >= GUARD_SHARE * total)
        found = np.where(np.isinf(found) & (bets.rich | guard), number * here.batch_seconds, found)
    return _forecast(found, failed)


def until_found_slow(here: Situation, usual: LatencyHistogram, slower: Slower) -> Forecast:
    """Of a version whose answers take longer. `failed_requests` are those that fell above the edge of the usual slowest
    tenth because of it. The usual latencies are taken as they were recorded."""
    rng, bets = np.random.default_rng(3), _Bets(here)
    before = np.array(usual.counts, float) / usual.total
    after = shifted(before, usual.bounds_ms, slower)
    edge = min(int(np.argmax(before.cumsum() >= SLOW_QUANTILE)) + 1, len(before) - 1)
    found, harmed = np.full(RUNS, inf), np.zeros(RUNS)
    slow, slow_now = float(before[edge:].sum()), float(after[edge:].sum())
    score = before.cumsum() - before / 2
    for number in range(1, bets.batches + 1):
        total = rng.poisson(here.canary_rate * here.batch_seconds, RUNS).astype(float)
        bets.on_score(rng, total, score, before, after)
        bad = rng.binomial(total.astype(int), slow_now).astype(float)
        bets.on_share(rng, total, bad, slow)
        harmed += np.where(np.isinf(found), total * max(slow_now - slow, 0.0), 0)
        found = np.where(np.isinf(found) & bets.rich, number * here.batch_seconds, found)
    return _forecast(found, harmed)


def shifted(shares: Floats, bounds_ms: tuple[float, ...], slower: Slower) -> Floats:
    """A histogram's shares, if what was above the quantile took `factor` times as long. Within a bucket requests are spread
    evenly over its logarithm; nothing is known above the last bound, so that bucket stays as it is."""
    edges = np.log([max(bounds_ms[0] / 2, 1e-3), *bounds_ms])
    moved = shares.copy()
    for bucket in range(len(bounds_ms)):
        if shares[: bucket + 1].sum() <= slower.above_quantile:
            continue
        low, high = edges[bucket] + log(slower.factor), edges[bucket + 1] + log(slower.factor)
        inside = np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None)
        beyond = max(high - max(low, edges[-1]), 0.0)
        below = max(min(high, edges[0]) - low, 0.0)
        parts = np.append(inside, beyond) / (high - low)
        parts[0] += below / (high - low)
        moved[bucket] -= shares[bucket]
        moved = moved + shares[bucket] * parts
    return np.asarray(moved, float)


class _Bets:
    """The judge's own bets over many imagined rollouts at once: ranks where there are peers, votes where there are none."""

    def __init__(self, here: Situation) -> None:
        self._here, self.batches = here, _batches(here)
        self._shares = Wealth(len(SHAPES), self.batches, (RUNS,))
        self._scores = Wealth(len(SHAPES), self.batches, (RUNS,))
        self._votes = Wealth(len(WORSE), self.batches, (RUNS,))

    @property
    def rich(self) -> NDArray[np.bool_]:
        """Averaged over the judge's metrics, of which only these are rich."""
        sharing = np.logaddexp(self._shares.log() + self._votes.log(), self._scores.log())
        return np.asarray(sharing - log(METRICS) >= -log(FALSE_ROLL_BACKS), bool)

    def on_share(self, rng: np.random.Generator, total: Floats, bad: Floats, usual: float) -> None:
        here, mean = self._here, self._here.canary_rate * self._here.batch_seconds
        if here.peers >= FEWEST_PEERS:
            peers, peers_bad = _drawn(rng, mean, usual, (RUNS, here.peers))
            levels = peers_bad / np.maximum(peers, 1)
            self._shares.bet(rank_log_bets(bad / np.maximum(total, 1), levels))
            return
        others, others_bad = _drawn(rng, here.others_rate * here.batch_seconds, usual, (RUNS,))
        stake = stakes(WORSE, np.maximum(total, 1) / np.maximum(others, 1), 0.0)
        self._votes.bet(vote_log_bets(stake, bad, total, others_bad, np.maximum(others, 1)))

    def on_score(
        self,
        rng: np.random.Generator,
        total: Floats,
        score: Floats,
        before: Floats,
        after: Floats,
    ) -> None:
        """The mean rank score of so many answers, nearly normal. It cannot be voted on."""
        if self._here.peers < FEWEST_PEERS:
            return
        count = np.sqrt(np.maximum(total, 1))
        canary = after @ score + _spread(score, after) / count * rng.standard_normal(RUNS)
        noise = rng.standard_normal((RUNS, self._here.peers))
        peers = before @ score + _spread(score, before) / count[:, None] * noise
        self._scores.bet(rank_log_bets(canary, peers))


def _spread(score: Floats, shares: Floats) -> float:
    """Standard deviation of one answer's rank score."""
    return sqrt(max(float(shares @ score**2) - float(shares @ score) ** 2, 0.0))


def until_promoted(here: Situation) -> Forecast:
    """Of a version that is as good as everybody else: when more than the margin is ruled out."""
    rng, batches = np.random.default_rng(2), _batches(here)
    safe, found, failed = np.zeros((RUNS, len(SAFE))), np.full(RUNS, inf), np.zeros(RUNS)
    share = here.canary_rate / max(here.others_rate, 1e-9)
    stake = stakes(SAFE, share, USUAL_ERRORS)
    for number in range(1, batches + 1):
        total, bad = _drawn(rng, here.canary_rate * here.batch_seconds, here.usual, (RUNS,))
        others, others_bad = _drawn(rng, here.others_rate * here.batch_seconds, here.usual, (RUNS,))
        arms = (bad, total, others_bad, np.maximum(others, 1))
        safe += count_log_bets(stake, *arms, USUAL_ERRORS, margin=here.margin) / here.burst
        failed += np.where(np.isinf(found), bad, 0)
        sure = np.logaddexp.reduce(safe, -1) - log(len(SAFE)) >= -log(PROMOTION_ERROR)
        found = np.where(np.isinf(found) & sure, number * here.batch_seconds, found)
    return _forecast(found, failed)


def _batches(here: Situation) -> int:
    return max(2, min(2_000, round(here.horizon_seconds / here.batch_seconds)))


def _drawn(
    rng: np.random.Generator, mean: float, failing: float, shape: tuple[int, ...]
) -> tuple[Floats, Floats]:
    total = rng.poisson(mean, shape)
    return total.astype(float), rng.binomial(total, failing).astype(float)


def _forecast(found: Floats, failed: Floats) -> Forecast:
    share = float(np.isfinite(found).mean())
    median = float(np.median(found))
    return Forecast(share, median if np.isfinite(median) else None, float(failed.mean()))
