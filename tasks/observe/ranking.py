"""Ranked among its peers, batch by batch: how rich the canary's bets became, and how rich those of each peer. Pure.

All arrays may have leading axes, so that thousands of simulated rollouts can be judged at once by the very same rule.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tasks.observe.betting import (
    SHAPES,
    Floats,
    Wealth,
    rank_log_bets,
    rank_log_bets_of_each,
)

PEER_RULE: Final = 10.0  # times as rich as the richest peer is
EVER_RULE: Final = 2.0  # times as rich as the richest peer ever was
SPREAD_RULE: Final = 3.0  # standard deviations of what the peers differ by
SPREAD_PEERS: Final = 4  # of fewer peers nobody knows by how much they usually differ
SPREAD_BATCHES: Final = 3


class Ranking:
    """One metric's rank bets: of the canary, and of each peer as if it were the canary."""

    def __init__(self, horizon: int, peers: int = 0, runs: tuple[int, ...] = ()) -> None:
        self._canary = Wealth(len(SHAPES), horizon, runs)
        self._peers = Wealth(len(SHAPES), horizon, (*runs, peers))
        self._now = self._ever = np.zeros((*runs, peers))
        self._seen = np.ones((*runs, peers), bool)
        self._spread = Spread((*runs, peers))

    def widen(self, count: int) -> None:
        """So many more peers are known. The others go on: nobody gets rid of what it lost or won."""
        self._peers.widen(count)
        more = ((0, 0),) * (self._ever.ndim - 1) + ((0, count),)
        self._now, self._ever, self._seen = (
            np.pad(one, more) for one in (self._now, self._ever, self._seen)
        )
        self._spread.widen(count)

    def bet(self, canary: Floats, peers: Floats) -> None:
        """`canary` [..., instances], `peers` [..., g]: levels in this batch; NaN: not seen or not of its load.

        Of several canary instances each is one fair bet, and the mean of fair bets is fair. Their product would be so,
        too, but it would take what hit the group once for as many findings.
        """
        with_peers = np.broadcast_to(peers[..., None, :], (*canary.shape, peers.shape[-1]))
        bets, there = rank_log_bets(canary, with_peers), ~np.isnan(canary)
        mean = np.logaddexp.reduce(np.where(there[..., None], bets, -np.inf), -2)
        count = there.sum(-1)[..., None]
        self._canary.bet(np.where(count > 0, mean - np.log(np.maximum(count, 1)), 0.0))
        skipped = (count == 0) | np.isnan(peers)
        self._peers.bet(np.where(skipped[..., None], 0.0, rank_log_bets_of_each(peers)))
        self._seen = ~np.isnan(peers)
        self._now = self._peers.log()
        self._ever = np.maximum(self._ever, self._now)
        self._spread.see(np.where(skipped, np.nan, peers))

    # ---- what follows from it --------------------------------------------------------------------

    def log(self) -> Floats:
        return self._canary.log()

    def log_of_peers(self) -> Floats:
        """Of those that were seen last; -inf for the others."""
        return np.where(self._seen, self._now, -np.inf)

    def richest_peer(self) -> NDArray[np.int64]:
        return np.asarray(self.log_of_peers().argmax(-1))

    def stands_out(self, log_odds: ArrayLike) -> NDArray[np.bool_]:
        """The canary is much richer than every peer is, and richer than any of them ever was: that peers have spells in
        which they look like this, or differ for ever, shows in their wealth. It only forbids, so it costs no validity."""
        if not self._ever.shape[-1]:
            return np.ones(self._ever.shape[:-1], bool)
        now = self.log_of_peers().max(-1) + np.log(PEER_RULE)
        ever = np.where(self._seen, self._ever, 0.0).max(-1) + np.log(EVER_RULE)
        return np.asarray(log_odds >= np.maximum(now, ever))

    def least_difference(self) -> Floats:
        """What peers differ by among themselves, for ever, is no finding."""
        return SPREAD_RULE * self._spread.lasting()


class Spread:
    """By how much the peers' levels differ for ever, without the noise of their batches: a standard deviation."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._batches, self._sum, self._squares = (np.zeros(shape) for _ in range(3))

    def widen(self, count: int) -> None:
        more = ((0, 0),) * (self._sum.ndim - 1) + ((0, count),)
        self._batches, self._sum, self._squares = (
            np.pad(one, more) for one in (self._batches, self._sum, self._squares)
        )

    def see(self, peers: Floats) -> None:
        """Levels, NaN where there is none. Against the batch's mean: what hits all of them is no difference."""
        there = ~np.isnan(peers)
        mean = np.where(there, peers, 0).sum(-1, keepdims=True) / np.maximum(
            there.sum(-1, keepdims=True), 1
        )
        apart = np.where(there, peers - mean, 0.0)
        self._batches = self._batches + there
        self._sum, self._squares = self._sum + apart, self._squares + apart**2

    def lasting(self) -> Floats:
        known = self._batches >= SPREAD_BATCHES
        count, peers = np.maximum(self._batches, 2), known.sum(-1)
        means = np.where(known, self._sum / count, 0.0)
        noise = np.where(known, (self._squares - count * means**2) / (count - 1) / count, 0.0)
        several = np.maximum(peers, 2)
        centre = means.sum(-1, keepdims=True) / several[..., None]
        between = np.where(known, (means - centre) ** 2, 0.0).sum(-1) / (several - 1)
        lasting = np.sqrt(np.maximum(between - noise.sum(-1) / several, 0.0))
        return np.asarray(np.where(peers >= SPREAD_PEERS, lasting, 0.0))
