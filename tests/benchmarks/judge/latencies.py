"""Simulated latency histograms of one canary and its peers: [runs, steps, instances, buckets], the canary last.

Log-normal, p50 100 ms and p99 500 ms, in Prometheus' default buckets (notes, section 4).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from math import erf, exp, log, sqrt
from statistics import NormalDist
from typing import Final

import numpy as np

from tests.benchmarks.judge.worlds import (
    SECONDS,
    STEPS,
    Counts,
    Shares,
    requests,
    spells,
    swinging_requests,
)

BOUNDS_MS: Final = (5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0)
MEDIAN_MS: Final = 100.0
SIGMA: Final = log(5) / NormalDist().inv_cdf(0.99)
TAIL_SHARE: Final = 0.03
PAST_SECONDS: Final = 300.0


@dataclass(frozen=True)
class Histograms:
    """`past` [runs, buckets]: what was known before."""

    counts: Counts
    past: Counts


World = Callable[[np.random.Generator, int, int, float], Histograms]


def _cdf(milliseconds: float) -> float:
    return 0.5 * (1 + erf(log(milliseconds / MEDIAN_MS) / SIGMA / sqrt(2)))


@lru_cache(maxsize=100_000)
def shares(scale: float = 1.0, tail: float = 1.0) -> tuple[float, ...]:
    """Of the buckets, if everything takes `scale` times as long, and 3 % of the requests `tail` times longer still."""
    rest = TAIL_SHARE if tail > 1 else 0.0
    below = [
        (1 - rest) * _cdf(bound / scale) + rest * _cdf(bound / scale / tail) for bound in BOUNDS_MS
    ]
    return tuple(np.diff([0.0, *below, 1.0]).tolist())


def tail_for(times: float) -> float:
    """By how much 3 % of the requests must slow down for p99 to grow so many times."""
    aim = times * MEDIAN_MS * exp(SIGMA * NormalDist().inv_cdf(0.99))
    low, high = 1.0, 1000.0
    for _ in range(80):
        middle = (low + high) / 2
        below = (1 - TAIL_SHARE) * _cdf(aim) + TAIL_SHARE * _cdf(aim / middle)
        low, high = (middle, high) if below > 0.99 else (low, middle)
    return low


def _drawn(
    rng: np.random.Generator, total: Counts, probabilities: Shares, each: float
) -> Histograms:
    """`probabilities` broadcast to [runs, steps, instances, buckets]."""
    buckets = len(BOUNDS_MS) + 1
    counts = rng.multinomial(total, np.broadcast_to(probabilities, (*total.shape, buckets)))
    return Histograms(counts, _past(rng, total, each))


def _past(rng: np.random.Generator, total: Counts, each: float) -> Counts:
    seen = rng.poisson(each * 18 * PAST_SECONDS / 5, total.shape[0])
    return rng.multinomial(seen, shares())


def _by_time(scales: Shares) -> Shares:
    return np.array([shares(float(one)) for one in scales])[:, None]


# ---- nothing is wrong ----------------------------------------------------------------------------


def independent(rng: np.random.Generator, runs: int, peers: int, each: float) -> Histograms:
    return _drawn(rng, requests(rng, runs, peers, each), np.array(shares()), each)


def drift(rng: np.random.Generator, runs: int, peers: int, each: float) -> Histograms:
    """Traffic swings, and everything takes up to 1.5 times as long: for everybody."""
    total = swinging_requests(rng, runs, peers, each)
    return _drawn(rng, total, _by_time(1 + 0.5 * np.sin(np.pi * SECONDS / 900)), each)


def pauses(rng: np.random.Generator, runs: int, peers: int, each: float) -> Histograms:
    """Each instance, once in a run, takes 1.6 times as long for 10 s."""
    total = requests(rng, runs, peers, each)
    slow = spells(rng, (runs, peers + 1), 1.0, 2)[..., None]
    return _drawn(rng, total, np.where(slow, shares(1.6), shares()), each)


def unequal_hosts(rng: np.random.Generator, runs: int, peers: int, each: float) -> Histograms:
    """Machines differ for ever: speeds by 3 %."""
    speeds = np.exp(0.03 * rng.standard_normal((runs, peers + 1)))
    found = np.array([[shares(float(one)) for one in row] for row in speeds])
    return _drawn(rng, requests(rng, runs, peers, each), found[:, None], each)


def cold_start(rng: np.random.Generator, runs: int, peers: int, each: float) -> Histograms:
    """Canary and first peer are fresh: 1.5 times as slow in their first two minutes. The other peers are old."""
    found = np.tile(np.array(shares()), (STEPS, peers + 1, 1))
    found[SECONDS < 120, 0] = found[SECONDS < 120, -1] = shares(1.5)
    return _drawn(rng, requests(rng, runs, peers, each), found, each)


NULL_WORLDS: Final[dict[str, World]] = {
    "independent": independent,
    "drift": drift,
    "10 s pauses": pauses,
    "unequal hosts": unequal_hosts,
    "cold start, old peers": cold_start,
}

# ---- something is --------------------------------------------------------------------------------


def _slower(
    canary: Shares, rng: np.random.Generator, runs: int, peers: int, each: float
) -> Histograms:
    """`canary` [steps or 1, buckets]."""
    found = np.tile(np.array(shares()), (STEPS, peers + 1, 1))
    found[:, -1] = canary
    return _drawn(rng, requests(rng, runs, peers, each), found, each)


REGRESSIONS: Final[dict[str, World]] = {
    "p99 x1.5": partial(_slower, np.array([shares(1.0, tail_for(1.5))])),
    "p99 x2": partial(_slower, np.array([shares(1.0, tail_for(2.0))])),
    "all +10 %": partial(_slower, np.array([shares(1.1)])),
    "drift to x1.5": partial(_slower, _by_time(1 + 0.5 * SECONDS / 900)[:, 0]),
}
