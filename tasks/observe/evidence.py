"""The evidence about one metric, batch by batch: for a roll-back, and for a promotion.

Roll-back: a rank bet among peers of about the same load, or, where there are fewer than two, a vote bet against all of them
together. Promotion: an anytime-valid upper bound of how much worse the canary is. Every batch is bet on once.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from math import exp, log
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.observe.betting import SAFE, WORSE, Wealth, count_log_bets, stakes, vote_log_bets
from tasks.observe.loads import Loads
from tasks.observe.ranking import Ranking
from tasks.observe.views import Batch, Kind, Metric

FEWEST_PEERS: Final = 2
PROMOTION_ERROR: Final = 0.05  # chance of ever promoting an artifact that is worse than the margin
GUARD_SECONDS: Final = 30.0
UPPER_TOLERANCE: Final = 1e-9  # of the wealth's logarithm
LATELY_BATCHES: Final = 6  # a fault that begins late is no smaller for the time before it


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

    @property
    def difference(self) -> float:
        """Of the shares of bad events."""
        return self.bad / self.total - self.others_bad / self.others


class Differences:
    """Of levels, batch by batch, with the counts behind them: over all batches, and over the last few."""

    def __init__(self) -> None:
        self._sum, self._batches = 0.0, 0
        self._last: deque[tuple[float, Counts]] = deque(maxlen=LATELY_BATCHES)

    def add(self, difference: float, counted: Counts) -> None:
        self._sum, self._batches = self._sum + float(difference), self._batches + 1
        self._last.append((float(difference), counted))

    @property
    def mean(self) -> float:
        return self._sum / max(self._batches, 1)

    @property
    def mean_lately(self) -> float:
        return sum(one for one, _ in self._last) / max(len(self._last), 1)

    def counts_lately(self) -> Counts:
        found = Counts()
        for _, one in self._last:
            found = found.plus(one)
        return found


class MetricEvidence:
    """All that is remembered about one metric. Two vectors and two wealths: it can be replayed from samples at any time.

    `log_odds`: the logarithm of its wealth, against "just another instance".
    """

    def __init__(self, metric: Metric, horizon: int, burst: float) -> None:
        self.metric = metric
        self.comparison = Comparison.NONE
        self.counts = Counts()
        self.recent: deque[tuple[float, Counts]] = deque()
        self.ranking, self.voted = Ranking(horizon), Wealth(len(WORSE), horizon)
        self._burst = max(1.0, burst)
        self._known: dict[str, int] = {}
        self._names: tuple[str, ...] = ()
        self._where = np.zeros(0, np.int64)
        self._loads = Loads()
        self._log_safe, self._spent = np.zeros(len(SAFE)), np.zeros(len(SAFE))
        self._upper: float | None = None
        self.log_odds, self._largest, self._usual = 0.0, 0.0, 0.0
        self._differences = Differences()
        self.batches = 0

    def update(self, canary: Batch, others: Batch, names: tuple[str, ...], seconds: float) -> None:
        """One batch. `names` are those of the others, in order."""
        self.batches += 1
        self._bet(canary, others, names, seconds)
        # Told at every look, several times: found once. Each batch was bet on by rank or by vote, so the two multiply.
        self.log_odds = float(self.ranking.log() + self.voted.log())
        self._largest = max(self.difference, self._lately)
        self._usual = float(self.ranking.least_difference())

    def _bet(self, canary: Batch, others: Batch, names: tuple[str, ...], seconds: float) -> None:
        counted = Counts(
            float(canary.bad.sum()),
            float(canary.total.sum()),
            float(others.bad.sum()),
            float(others.total.sum()),
        )
        countable = self.metric.kind is Kind.RATIO and counted.total > 0 and counted.others > 0
        if countable:
            self._count(counted, seconds)
        seen = ~np.isnan(others.level)
        where = self._places(names)
        alike = seen & self._loads.alike(canary.total, others.total, where)
        self._loads.remember(canary.total, others.total, where)
        if np.isnan(canary.level).all() or not seen.any():
            return
        self._differences.add(np.nanmean(canary.level) - others.level[seen].mean(), counted)
        if alike.sum() >= FEWEST_PEERS:
            self._rank(canary, others, alike, where)
        elif countable:
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
        self._upper = None

    def _places(self, names: tuple[str, ...]) -> NDArray[np.int64]:
        """In the roll of all peers there ever were. Each keeps its own wealth: if others come and go, neither the canary
        nor a sick peer begins anew."""
        if names != self._names:
            new = [name for name in names if name not in self._known]
            self._known.update({name: len(self._known) + n for n, name in enumerate(new)})
            self._loads.widen(len(new))
            self.ranking.widen(len(new))
            self._names, self._where = names, np.array([self._known[name] for name in names])
        return self._where

    def _rank(
        self, canary: Batch, others: Batch, alike: NDArray[Any], where: NDArray[np.int64]
    ) -> None:
        self.comparison = Comparison.RANKED
        levels = np.full(len(self._known), np.nan)
        levels[where] = np.where(alike, others.level, np.nan)
        self.ranking.bet(canary.level, levels)

    def _vote(self, counted: Counts) -> None:
        self.comparison = Comparison.VOTED
        stake = stakes(WORSE, counted.total / counted.others, 0.0)
        found = vote_log_bets(stake, counted.bad, counted.total, counted.others_bad, counted.others)
        self.voted.bet(found)

    # ---- what follows from it --------------------------------------------------------------------

    @property
    def stands_out(self) -> bool:
        """No peer looks or ever looked like this."""
        return bool(self.ranking.stands_out(self.log_odds))

    @property
    def worst_peer(self) -> str:
        if not self._known:
            return ""
        return tuple(self._known)[int(self.ranking.richest_peer())]

    @property
    def matters(self) -> bool:
        """The difference is not trivial, over all batches or lately."""
        return self._largest >= self.metric.floor

    @property
    def unusual(self) -> bool:
        """It is more than what peers differ by among themselves, for ever: machines are unequal."""
        return self._largest >= self._usual

    @property
    def difference(self) -> float:
        """How much worse the canary was, over all batches: of shares where they can be counted, else of levels."""
        found = self.counts
        if self.metric.kind is Kind.RATIO and found.total and found.others:
            return found.difference
        return self._differences.mean

    @property
    def _lately(self) -> float:
        found = self._differences.counts_lately()
        if self.metric.kind is Kind.RATIO and found.total and found.others:
            return found.difference
        return self._differences.mean_lately

    @property
    def upper(self) -> float:
        """The smallest difference that is ruled out, at every moment at once, with confidence 1 - PROMOTION_ERROR."""
        if self._upper is None:
            self._upper = self._found_upper()
        return self._upper

    def _found_upper(self) -> float:
        """By Newton's steps from above: the logarithm of a sum of exponentials is convex, so none goes too far."""
        needed = -log(PROMOTION_ERROR) + log(len(SAFE))
        pairs = list(zip(self._log_safe.tolist(), self._spent.tolist(), strict=True))
        margin = 1.0
        for _ in range(100):
            logs = [safe - margin * spent for safe, spent in pairs]
            top = max(logs)
            shares = [exp(one - top) for one in logs]
            more = top + log(sum(shares)) - needed
            slope = sum(-spent * share for (_, spent), share in zip(pairs, shares, strict=True))
            if more <= UPPER_TOLERANCE or slope <= 0:
                break
            margin -= more * sum(shares) / slope
        return 1.0 if more < 0 and margin == 1.0 else max(margin, -1.0)

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
