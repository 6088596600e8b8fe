"""Fair bets against "the canary is just another instance", and against "the canary is unsafe". Pure numpy.

An e-value is the pay-out of a bet of 1 that is fair if the null is true: its mean is at most 1. Multiplied over batches
it is a wealth that stays below 1 / alpha FOR EVER with probability 1 - alpha (Ville 1939), however often we look. All
functions broadcast over leading axes. Everything is in logarithms: a wealth reaches e^700.

Rank bet: kin to Fischer & Ramdas, "Sequential Monte-Carlo testing by betting", arXiv 2401.07365. Count bet: with m = 0 it
is the conditional likelihood ratio of Lindon & Malek, arXiv 2011.03567. Vote bet: testing by betting on a bounded variable,
Waudby-Smith & Ramdas, arXiv 2010.09686. Starting times: Shin, Ramdas & Rinaldo, "E-detectors", NEJSDS 2023.
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

WORSE: Final[Floats] = np.array([1.15, 1.4, 2, 3, 5, 10, 30, 200], float)
"""Odds ratios that a roll-back bets on."""
SAFE: Final[Floats] = np.array([0.02, 0.07, 0.15, 0.3, 0.45, 0.6, 0.75, 0.88], float)
"""Odds ratios that a promotion bets on. Not 0: one error would lose that bet for ever."""
SHAPES: Final[Floats] = np.array([0.25, 0.5, 1, 1.5, 2.5, 4], float)
"""How hard a rank bet leans on "worst of all"."""


def rank_log_bets(canary: ArrayLike, peers: Floats) -> Floats:
    """Log pay-outs, one for each shape. `canary` [...], `peers` [..., g]; higher is worse, NaN was not seen: no bet.

    If the canary is just another instance its rank j among g + 1 is uniform, so (g + 1) j^-a / sum_i i^-a is fair.
    Tied ranks share their pay-out.
    """
    value = np.asarray(canary, float)[..., None]
    better, ties = (peers > value).sum(-1), (peers == value).sum(-1)
    others = np.where(np.isnan(value[..., 0]), 0, (~np.isnan(peers)).sum(-1))
    return _log_paid(better, ties, others)


def rank_log_bets_of_each(levels: Floats) -> Floats:
    """The same for each of the instances [..., n] among all others: [..., n, shapes]. By sorting, so n may be large."""
    order = np.argsort(levels, -1)
    ordered, places = np.take_along_axis(levels, order, -1), np.arange(levels.shape[-1])
    begins = np.ones(levels.shape, bool)
    begins[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    ends = np.ones(levels.shape, bool)
    ends[..., :-1] = begins[..., 1:]
    first = np.maximum.accumulate(np.where(begins, places, 0), -1)
    last = np.where(ends, places, levels.shape[-1])
    last = np.minimum.accumulate(last[..., ::-1], -1)[..., ::-1]
    seen = (~np.isnan(levels)).sum(-1, keepdims=True)
    back = np.argsort(order, -1)
    better = np.take_along_axis(np.maximum(seen - 1 - last, 0), back, -1)
    ties = np.take_along_axis(last - first, back, -1)
    return _log_paid(better, ties, np.where(np.isnan(levels), 0, seen - 1))


def _log_paid(
    better: NDArray[np.int64], ties: NDArray[np.int64], others: NDArray[np.int64]
) -> Floats:
    """`others`: among how many it was ranked; 0: no bet."""
    found = np.zeros((*others.shape, len(SHAPES)))
    for count in set(others.ravel().tolist()) - {0}:
        where = others == count
        found[where] = _log_mean(better[where], ties[where], count)
    return found


def _log_mean(better: NDArray[np.int64], ties: NDArray[np.int64], peers: int) -> Floats:
    cumulated = _cumulated(peers)
    last = better + ties + 1
    mean = (cumulated[last] - cumulated[better]) / np.asarray(last - better, float)[..., None]
    return np.asarray(np.log(mean), float)


@lru_cache(maxsize=256)
def _cumulated(peers: int) -> Floats:
    """What the first k ranks pay together, k = 0 .. peers + 1, for each shape."""
    positions = np.arange(1, peers + 2, dtype=float)[:, None] ** -SHAPES
    paid = positions / positions.mean(0)
    return np.concatenate([np.zeros((1, len(SHAPES))), paid.cumsum(0)])


def stakes(odds: Floats, share: ArrayLike, usual: ArrayLike, ratio: float = 1.0) -> Floats:
    """Growth-optimal stakes if the canary's odds ratio is `odds`, kept inside the limits where no bet can ruin us.

    `share`: canary's events per event of the peers; `usual`: any share of bad events fixed before the batch.
    """
    kappa = np.asarray(share, float)[..., None] * ratio
    m = np.asarray(usual, float)[..., None]
    wished = (odds - 1) / (1 + kappa * odds + m * (odds - 1))
    with np.errstate(divide="ignore"):
        lowest = -0.99 * np.minimum(1 / (1 - m), 1 / (kappa * m))
        highest = 0.99 * np.minimum(1 / m, 1 / (kappa * (1 - m)))
    return np.asarray(np.clip(wished, lowest, highest), float)


def count_log_bets(
    stake: Floats,
    bad_canary: ArrayLike,
    canary: ArrayLike,
    bad_peers: ArrayLike,
    peers: ArrayLike,
    usual: ArrayLike,
    ratio: float = 1.0,
    margin: float = 0.0,
) -> Floats:
    """Log pay-outs of exact bets on counts: `bad` of so many events for each arm.

    A positive stake bets against p_canary <= ratio p_peers + margin, a negative one against >=. Fair for Bernoulli and
    Poisson events, whatever changes from batch to batch (notes: proof by 1 + y <= e^y).
    """
    xc, nc, xb, nb, m = (
        np.asarray(one, float)[..., None] for one in (bad_canary, canary, bad_peers, peers, usual)
    )
    k = nc / nb * ratio
    found = (
        xc * np.log1p(stake * (1 - m))
        + (nc - xc) * np.log1p(-stake * m)
        + xb * np.log1p(-stake * k * (1 - m))
        + (nb - xb) * np.log1p(stake * k * m)
        - nc * stake * (margin + (ratio - 1) * m)
    )
    return np.asarray(found, float)


def vote_log_bets(
    stake: Floats, bad_canary: ArrayLike, canary: ArrayLike, bad_peers: ArrayLike, peers: ArrayLike
) -> Floats:
    """Log pay-outs of one vote per batch on "which side did this error fall on?"

    The bets of a batch's errors are averaged, not multiplied: they may be copies of one another (retries).
    """
    xc, nc, xb, nb = (
        np.asarray(one, float)[..., None] for one in (bad_canary, canary, bad_peers, peers)
    )
    errors = xc + xb
    mean = (xc * (1 + stake) + xb * (1 - stake * nc / nb)) / np.maximum(errors, 1)
    return np.asarray(np.where(errors > 0, np.log(np.maximum(mean, 1e-12)), 0.0), float)


class Wealth:
    """The average wealth over several bets and over starting times: half the money at the first batch, the rest evenly
    over the horizon, so that a regression that starts late is found too. It costs log 2 of the evidence at most."""

    def __init__(self, bets: int, horizon: int, shape: tuple[int, ...] = ()) -> None:
        self._log_running: Floats = np.full((*shape, bets), -np.inf)
        self._left, self._horizon, self._batches = 1.0, horizon, 0

    def bet(self, log_bets: Floats) -> None:
        """One batch is over; these are the log pay-outs of its bets."""
        wished = 0.5 if self._batches == 0 else 0.5 / max(self._horizon - 1, 1)
        put = min(wished, self._left)
        self._left, self._batches = max(self._left - put, 0.0), self._batches + 1
        fresh = np.log(put) if put > 0 else -np.inf
        self._log_running = np.asarray(np.logaddexp(self._log_running, fresh) + log_bets, float)

    def widen(self, count: int) -> None:
        """So many more along the last axis of `shape`. Each begins with its money of 1, part of it already put."""
        put = np.log(1 - self._left) if self._left < 1 else -np.inf
        shape = (*self._log_running.shape[:-2], count, self._log_running.shape[-1])
        self._log_running = np.concatenate([self._log_running, np.full(shape, put)], -2)

    def log(self) -> Floats:
        """The logarithm of the wealth now, its unspent money included."""
        running, bets = self._log_running, self._log_running.shape[-1]
        left = np.log(self._left) if self._left > 0 else -np.inf
        # By hand: np.logaddexp.reduce takes five times as long, and this is done for each of a thousand peers.
        top = np.maximum(running.max(-1), left)
        shares = np.exp(running - top[..., None]).sum(-1) / bets + np.exp(left - top)
        return np.asarray(top + np.log(shares), float)


def dispersion(bad: Floats, total: Floats) -> float:
    """How many errors come at a time, from past batches: `bad` of `total` [batches, groups]. 1: independent errors.

    E[M^2] / E[M] for bursts of size M. Compared within each batch, so that common drift and shared outages do not count;
    weighted by errors.
    """
    if bad.size == 0 or bad.shape[1] < 2:
        return 1.0
    all_bad, everything = bad.sum(1, keepdims=True), total.sum(1, keepdims=True)
    expected = total * all_bad / np.maximum(everything, 1)
    positive = np.where(expected > 0, expected, 1)
    chi = np.where(expected > 0, (bad - expected) ** 2 / positive, 0).sum(1) / (bad.shape[1] - 1)
    return max(1.0, float((all_bad[:, 0] * chi).sum() / max(float(all_bad.sum()), 1.0)))
