"""Simulated errors of one canary and its peers: worlds in which nothing is wrong with the canary, and worlds in which it is.

The worlds of the notes (canary.md section 4): instances of the same load, 15 minutes in steps of 5 s, 0.1 % errors. Arrays
are [runs, steps, instances]; the canary is the last instance. Judges compare batches of two steps.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Shares = NDArray[np.float64]
STEPS: Final = 180
STEP_SECONDS: Final = 5.0
BATCH_STEPS: Final = 2
BATCHES: Final = STEPS // BATCH_STEPS
USUAL: Final = 0.001
PEERS: Final = 19
SHARE: Final = 0.05  # of the service's requests that one instance gets
SECONDS: Final[Shares] = np.array([(step + 0.5) * STEP_SECONDS for step in range(STEPS)])
LATE_SECONDS: Final = 300.0


@dataclass(frozen=True)
class Streams:
    """Requests and failures."""

    total: Counts
    bad: Counts

    def levels(self, steps: int = BATCH_STEPS) -> Shares:
        """Share of failures in each batch of so many steps; NaN without a request."""
        total, bad = coarsened(self.total, steps), coarsened(self.bad, steps)
        return np.asarray(np.where(total > 0, bad / np.maximum(total, 1), np.nan))


World = Callable[[np.random.Generator, int, int, float], Streams]
"""Of (random numbers, runs, peers, requests per step and instance)."""


def coarsened(counts: NDArray[Any], steps: int) -> NDArray[Any]:
    """So many steps added up to one batch."""
    runs, length, *rest = counts.shape
    return np.asarray(counts.reshape(runs, length // steps, steps, *rest).sum(2))


def _streams(
    rng: np.random.Generator, total: Counts, share: Shares | float, canary: Shares | None = None
) -> Streams:
    """`share` broadcasts to [runs, steps, instances]; `canary` [steps] replaces it for the canary."""
    shares = np.broadcast_to(np.asarray(share, float), total.shape)
    if canary is not None:
        shares = shares.copy()
        shares[..., -1] = canary
    return Streams(total, rng.binomial(total, np.minimum(shares, 1)))


def requests(rng: np.random.Generator, runs: int, peers: int, each: float) -> Counts:
    return rng.poisson(each, (runs, STEPS, peers + 1))


def swinging_requests(rng: np.random.Generator, runs: int, peers: int, each: float) -> Counts:
    """By 60 % within the quarter of an hour; the same for everybody."""
    load = each * (1 + 0.6 * np.sin(2 * np.pi * SECONDS / 900))
    return rng.poisson(np.broadcast_to(load[:, None], (runs, STEPS, peers + 1)))


def spells(rng: np.random.Generator, shape: tuple[int, int], each_run: float, steps: int) -> Any:
    """So many steps long, `each_run` of them in a run on average: bool [runs, steps, instances]."""
    begins = rng.random((shape[0], STEPS, shape[1])) < each_run / STEPS
    lasts = begins.copy()
    for later in range(1, steps):
        lasts[:, later:] |= begins[:, :-later]
    return lasts


# ---- nothing is wrong ----------------------------------------------------------------------------


def independent(rng: np.random.Generator, runs: int, peers: int, each: float) -> Streams:
    return _streams(rng, requests(rng, runs, peers, each), USUAL)


def drift(rng: np.random.Generator, runs: int, peers: int, each: float) -> Streams:
    """Traffic swings by 60 %, errors grow five-fold and fall again; the same for everybody."""
    share = USUAL * (1 + 4 * np.sin(np.pi * SECONDS / 900) ** 2)
    return _streams(rng, swinging_requests(rng, runs, peers, each), share[:, None])


def shared_outages(rng: np.random.Generator, runs: int, peers: int, each: float) -> Streams:
    """What everybody depends on fails three times, for 20 s: 10 % errors."""
    share = np.where(spells(rng, (runs, 1), 3.0, 4), 0.1, USUAL)
    return _streams(rng, requests(rng, runs, peers, each), share)


def retry_bursts(rng: np.random.Generator, runs: int, peers: int, each: float) -> Streams:
    """Errors come ten at a time, on one instance."""
    total = requests(rng, runs, peers, each)
    bursts = rng.poisson(total * USUAL / 10)
    more = rng.negative_binomial(np.maximum(bursts, 1), 0.1)
    bad = np.where(bursts > 0, bursts + more, 0)
    return Streams(total + bad, bad)


def bad_spells(rng: np.random.Generator, runs: int, peers: int, each: float) -> Streams:
    """In every second run an instance has 20 s with 5 % errors: each its own."""
    share = np.where(spells(rng, (runs, peers + 1), 0.5, 4), 0.05, USUAL)
    return _streams(rng, requests(rng, runs, peers, each), share)


def unequal_hosts(rng: np.random.Generator, runs: int, peers: int, each: float) -> Streams:
    """Machines differ for ever: error rates by 30 %."""
    share = USUAL * np.exp(0.3 * rng.standard_normal((runs, 1, peers + 1)))
    return _streams(rng, requests(rng, runs, peers, each), share)


def cold_start(rng: np.random.Generator, runs: int, peers: int, each: float) -> Streams:
    """Canary and first peer are fresh: five times the errors in their first two minutes. The other peers are old."""
    share = np.full((STEPS, peers + 1), USUAL)
    share[SECONDS < 120, 0] = share[SECONDS < 120, -1] = 5 * USUAL
    return _streams(rng, requests(rng, runs, peers, each), share)


def fresh_instances(rng: np.random.Generator, runs: int, peers: int, each: float) -> Streams:
    """Canary and peers were started together: five times the errors in their first two minutes."""
    share = np.where(SECONDS < 120, 5 * USUAL, USUAL)
    return _streams(rng, requests(rng, runs, peers, each), share[:, None])


NULL_WORLDS: Final[dict[str, World]] = {
    "independent errors": independent,
    "drift": drift,
    "shared outages": shared_outages,
    "retry bursts": retry_bursts,
    "bad spells": bad_spells,
    "unequal hosts": unequal_hosts,
    "cold start, old peers": cold_start,
    "fresh instances": fresh_instances,
}

# ---- something is --------------------------------------------------------------------------------


def failing(share: float, rng: np.random.Generator, runs: int, peers: int, each: float) -> Streams:
    """The canary fails this share of its requests, from the start."""
    canary = np.full(STEPS, share)
    return _streams(rng, requests(rng, runs, peers, each), USUAL, canary)


def failing_late(
    share: float, rng: np.random.Generator, runs: int, peers: int, each: float
) -> Streams:
    canary = np.where(SECONDS < LATE_SECONDS, USUAL, share)
    return _streams(rng, requests(rng, runs, peers, each), USUAL, canary)


def failing_more_and_more(
    share: float, rng: np.random.Generator, runs: int, peers: int, each: float
) -> Streams:
    canary = USUAL + (share - USUAL) * SECONDS / 900
    return _streams(rng, requests(rng, runs, peers, each), USUAL, canary)


REGRESSIONS: Final[dict[str, World]] = {
    "0.5 %": partial(failing, 0.005),
    "1 %": partial(failing, 0.01),
    "5 %": partial(failing, 0.05),
    "100 %": partial(failing, 1.0),
    "1 % from 5 min": partial(failing_late, 0.01),
    "ramp to 1 %": partial(failing_more_and_more, 0.01),
}
