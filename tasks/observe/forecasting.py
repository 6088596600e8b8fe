"""What the judge will be able to say, and when, at a given traffic: simulated with its own bets before any rollout. Pure.

A few hundred imagined rollouts for each fault, with a fixed seed: the same question has the same answer.
"""

from dataclasses import dataclass
from math import inf, log
from typing import Final

import numpy as np

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
from tasks.observe.peers import FALSE_ROLL_BACKS
from tasks.observe.views import USUAL_ERRORS

RUNS: Final = 200


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
    rng, batches = np.random.default_rng(1), _batches(here)
    ranked = Wealth(len(SHAPES), batches, (RUNS,))
    voted = Wealth(len(WORSE), batches, (RUNS,))
    found, failed = np.full(RUNS, inf), np.zeros(RUNS)
    for number in range(1, batches + 1):
        total, bad = _drawn(rng, here.canary_rate * here.batch_seconds, failing, (RUNS,))
        if here.peers >= FEWEST_PEERS:
            peers, peers_bad = _drawn(
                rng, here.canary_rate * here.batch_seconds, here.usual, (RUNS, here.peers)
            )
            level = bad / np.maximum(total, 1)
            ranked.bet(rank_log_bets(level, peers_bad / np.maximum(peers, 1)))
        else:
            others, others_bad = _drawn(
                rng, here.others_rate * here.batch_seconds, here.usual, (RUNS,)
            )
            stake = stakes(WORSE, np.maximum(total, 1) / np.maximum(others, 1), 0.0)
            voted.bet(vote_log_bets(stake, bad, total, others_bad, np.maximum(others, 1)))
        failed += np.where(np.isinf(found), bad, 0)
        guard = (total >= 50) & (bad >= 0.5 * total)
        # Averaged over its metrics (errors, three views of latency), of which errors alone are rich.
        rich = ranked.log() + voted.log() - log(4) >= -log(FALSE_ROLL_BACKS)
        found = np.where(np.isinf(found) & (rich | guard), number * here.batch_seconds, found)
    return _forecast(found, failed)


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
