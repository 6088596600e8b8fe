"""The evidence about one metric, batch by batch: for a roll-back, and for a promotion.

Roll-back: a rank bet among peers of about the same load, or, where there are fewer than two, a vote bet against all of them
together. Promotion: an anytime-valid upper bound of how much worse the canary is. Every batch is bet on once.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
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
    rank_log_bets_of_each,
    stakes,
    vote_log_bets,
)
from tasks.observe.views import Batch, Kind, Metric

FEWEST_PEERS: Final = 2
SAME_LOAD: Final = (3 / 4, 4 / 3)  # of the canary's; ranks are unfair beyond
SMOOTHING: Final = 20.0  # requests, so that small counts are not told apart by noise
PROMOTION_ERROR: Final = 0.05  # chance of ever promoting an artifact that is worse than the margin
GUARD_SECONDS: Final = 30.0


class Comparison(StrEnum):
    """What the canary was compared with, in the last batch."""

    RANKED = "ranked among peers of its own load"
    VOTED = "against all others together: fewer than two have its load"
    NONE = "nothing to compare with"


@dataclass(frozen=True)
class Counts:
    """Bad and all events, of the canary and of everybody else."""

    bad: float = 0.0
    total: float = 0.0
    others_bad: float = 0.0
    others: float = 0.0

    def plus(self, other: "Counts") -> "Counts":
        return Counts(
            self.bad + other.bad,
            self.total + other.total,
            self.others_bad + other.others_bad,
            self.others + other.others,
        )


class MetricEvidence:
    """All that is remembered about one metric. Two vectors and two wealths: it can be replayed from samples at any time."""

    def __init__(self, metric: Metric, horizon: int, burst: float) -> None:
        self.metric = metric
        self.comparison = Comparison.NONE
        self.counts = Counts()
        self.recent: deque[tuple[float, Counts]] = deque()
        self.ranked, self.voted = Wealth(len(SHAPES), horizon), Wealth(len(WORSE), horizon)
        self._horizon, self._burst = horizon, max(1.0, burst)
        self._peers: tuple[tuple[str, ...], Wealth] | None = None
        self._log_safe, self._spent = np.zeros(len(SAFE)), np.zeros(len(SAFE))
        self._difference, self._compared = 0.0, 0
        self.batches = 0

    def update(self, canary: Batch, others: Batch, names: tuple[str, ...], seconds: float) -> None:
        """One batch. `names` are those of the others, in order."""
        self.batches += 1
        counted = Counts(
            float(canary.bad.sum()),
            float(canary.total.sum()),
            float(others.bad.sum()),
            float(others.total.sum()),
        )
        if self.metric.kind is Kind.RATIO and counted.total > 0 and counted.others > 0:
            self._count(counted, seconds)
        levels = canary.level[~np.isnan(canary.level)]
        seen = ~np.isnan(others.level)
        if not len(levels) or not seen.any():
            return
        self._difference += float(levels.mean() - others.level[seen].mean())
        self._compared += 1
        alike = seen & self._same_load(canary, others)
        if alike.sum() >= FEWEST_PEERS:
            self._rank(levels, others.level[alike], tuple(np.array(names)[alike]))
        elif self.metric.kind is Kind.RATIO and counted.total > 0 and counted.others > 0:
            self._vote(counted)

    def _count(self, counted: Counts, seconds: float) -> None:
        self.counts = self.counts.plus(counted)
        self.recent.append((seconds, counted))
        while sum(one for one, _ in self.recent) - self.recent[0][0] >= GUARD_SECONDS:
            self.recent.popleft()
        if self.metric.margin is None:
            return
        stake = stakes(SAFE, counted.total / counted.others, self.metric.usual)
        found = count_log_bets(
            stake,
            counted.bad,
            counted.total,
            counted.others_bad,
            counted.others,
            self.metric.usual,
        )
        self._log_safe = self._log_safe + found / self._burst
        self._spent = self._spent + stake * counted.total / self._burst

    def _same_load(self, canary: Batch, others: Batch) -> Floats:
        """By load only, never by what was answered: chosen by outcome, peers would not be fair."""
        ratio = (float(canary.total.mean()) + SMOOTHING) / (others.total + SMOOTHING)
        return np.asarray((ratio >= SAME_LOAD[0]) & (ratio <= SAME_LOAD[1]))

    def _rank(self, levels: Floats, peers: Floats, names: tuple[str, ...]) -> None:
        self.comparison = Comparison.RANKED
        bets = rank_log_bets(levels, np.broadcast_to(peers, (len(levels), len(peers))))
        # Of several canary instances each is one fair bet; the mean of fair bets is fair.
        self.ranked.bet(np.logaddexp.reduce(bets, 0) - np.log(len(levels)))
        if self._peers is None or self._peers[0] != names:
            self._peers = (names, Wealth(len(SHAPES), self._horizon, (len(names),)))
        self._peers[1].bet(rank_log_bets_of_each(peers))

    def _vote(self, counted: Counts) -> None:
        self.comparison = Comparison.VOTED
        stake = stakes(WORSE, counted.total / counted.others, 0.0)
        found = vote_log_bets(stake, counted.bad, counted.total, counted.others_bad, counted.others)
        self.voted.bet(found)

    # ---- what follows from it --------------------------------------------------------------------

    @property
    def log_odds(self) -> float:
        """Against "just another instance". Each batch was bet on by rank or by vote, so the two multiply."""
        return float(self.ranked.log() + self.voted.log())

    @property
    def log_odds_of_worst_peer(self) -> float:
        return float(self._peers[1].log().max()) if self._peers else 0.0

    @property
    def worst_peer(self) -> str:
        if self._peers is None:
            return ""
        return self._peers[0][int(self._peers[1].log().argmax())]

    @property
    def difference(self) -> float:
        """How much worse the canary was, over all batches: of shares where they can be counted, else of levels."""
        found = self.counts
        if self.metric.kind is Kind.RATIO and found.total and found.others:
            return found.bad / found.total - found.others_bad / found.others
        return self._difference / max(self._compared, 1)

    @property
    def upper(self) -> float:
        """The smallest difference that is ruled out, at every moment at once, with confidence 1 - PROMOTION_ERROR."""
        needed = -np.log(PROMOTION_ERROR)
        low, high = -1.0, 1.0
        if self._log_safe_at(high) < needed:
            return 1.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if self._log_safe_at(middle) >= needed else (middle, high)
        return high

    def _log_safe_at(self, margin: float) -> float:
        found = np.logaddexp.reduce(self._log_safe - margin * self._spent)
        return float(found - np.log(len(SAFE)))

    @property
    def batches_to_go(self) -> float:
        """Until the bound is below the margin, if the canary stays as good as everybody together. Infinite: never."""
        margin, found = self.metric.margin, self.counts
        if margin is None or not found.total or not found.others:
            return 0.0 if margin is None else float("inf")
        canary, others = found.total / self.batches, found.others / self.batches
        share = (found.bad + found.others_bad + 0.5) / (found.total + found.others + 1)
        stake = stakes(SAFE, canary / others, self.metric.usual)
        gains = count_log_bets(
            stake, share * canary, canary, share * others, others, self.metric.usual, margin=margin
        )
        gain = float(gains.max()) / self._burst
        missing = -np.log(PROMOTION_ERROR) - self._log_safe_at(margin)
        if missing <= 0:
            return 0.0
        return float(missing / gain) if gain > 0 else float("inf")
