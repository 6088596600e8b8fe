"""Simulated traffic in which nothing is wrong with the canary, and in which something is: what a judge is tried on.

The worlds of the notes (canary.md section 4): one canary and `peers` instances of the same load, 15 minutes in batches of
10 s, 0.1 % errors. Arrays are [runs, batches, instances]; the canary is the last instance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
BATCHES: Final = 90
BATCH_SECONDS: Final = 10.0
USUAL: Final = 0.001


@dataclass(frozen=True)
class Streams:
    """Requests and failures."""

    total: Counts
    bad: Counts


World = Callable[[np.random.Generator, int, int, float], Streams]


def _requests(rng: np.random.Generator, runs: int, peers: int, each: float) -> Counts:
    return rng.poisson(each, (runs, BATCHES, peers + 1))


def independent(rng: np.random.Generator, runs: int, peers: int, each: float) -> Streams:
    total = _requests(rng, runs, peers, each)
    return Streams(total, rng.binomial(total, USUAL))


def drift(rng: np.random.Generator, runs: int, peers: int, each: float) -> Streams:
    """Traffic swings by 60 %, errors grow five-fold and fall again; the same for everybody."""
    time = np.arange(BATCHES) / BATCHES
    load = each * (1 + 0.6 * np.sin(2 * np.pi * time))
    total = rng.poisson(np.broadcast_to(load[:, None], (runs, BATCHES, peers + 1)))
    share = USUAL * (1 + 4 * np.sin(np.pi * time) ** 2)
    return Streams(total, rng.binomial(total, share[:, None]))


def shared_outages(rng: np.random.Generator, runs: int, peers: int, each: float) -> Streams:
    """What everybody depends on fails three times, for 20 s: 10 % errors."""
    total = _requests(rng, runs, peers, each)
    share = np.where(_spells(rng, (runs, 1), 3.0), 0.1, USUAL)
    return Streams(total, rng.binomial(total, np.moveaxis(share, 1, 2)))


def retry_bursts(rng: np.random.Generator, runs: int, peers: int, each: float) -> Streams:
    """Errors come ten at a time, on one instance."""
    total = _requests(rng, runs, peers, each)
    bursts = rng.poisson(total * USUAL / 10)
    more = rng.negative_binomial(np.maximum(bursts, 1), 0.1)
    bad = np.where(bursts > 0, bursts + more, 0)
    return Streams(total + bad, bad)


def bad_spells(rng: np.random.Generator, runs: int, peers: int, each: float) -> Streams:
    """In every second run an instance has 20 s with 5 % errors: each its own."""
    total = _requests(rng, runs, peers, each)
    share = np.where(_spells(rng, (runs, peers + 1), 0.5), 0.05, USUAL)
    return Streams(total, rng.binomial(total, np.moveaxis(share, 1, 2)))


def unequal_hosts(rng: np.random.Generator, runs: int, peers: int, each: float) -> Streams:
    """Machines differ for ever: error rates by 30 %."""
    total = _requests(rng, runs, peers, each)
    share = USUAL * np.exp(0.3 * rng.standard_normal((runs, 1, peers + 1)))
    return Streams(total, rng.binomial(total, np.minimum(share, 1)))


def fresh_instances(rng: np.random.Generator, runs: int, peers: int, each: float) -> Streams:
    """Canary and peers were started together: five times the errors in their first two minutes."""
    total = _requests(rng, runs, peers, each)
    share = np.where(np.arange(BATCHES) < 12, 5 * USUAL, USUAL)
    return Streams(total, rng.binomial(total, share[:, None]))


def _spells(rng: np.random.Generator, shape: tuple[int, int], each_run: float) -> NDArray[np.bool_]:
    """Two batches long, `each_run` of them in a run on average: [runs, instances, batches]."""
    begins = rng.random((*shape, BATCHES)) < each_run / BATCHES
    lasts = begins.copy()
    lasts[..., 1:] |= begins[..., :-1]
    return lasts


NULL_WORLDS: Final[dict[str, World]] = {
    "independent errors": independent,
    "drift": drift,
    "shared outages": shared_outages,
    "retry bursts": retry_bursts,
    "bad spells": bad_spells,
    "unequal hosts": unequal_hosts,
    "fresh instances": fresh_instances,
}


def with_failures(streams: Streams, share: float, rng: np.random.Generator) -> Streams:
    """The same, but the canary's requests fail with this probability."""
    bad = streams.bad.copy()
    bad[..., -1] = rng.binomial(streams.total[..., -1], share)
    return Streams(streams.total, bad)
