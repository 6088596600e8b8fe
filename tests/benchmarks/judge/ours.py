"""Bakewell's own rule on thousands of rollouts at once: the shipping bets, ranking and purse, with runs as the leading axis.

That it says what `PeerJudge` says on the same streams is checked by tests/rules/test_judge_alike.py.
"""

from dataclasses import dataclass
from math import log
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.observe.evidence import FEWEST_PEERS, LATELY_BATCHES
from tasks.observe.gauges import WINDOWS_SECONDS
from tasks.observe.guarding import GUARD_REQUESTS, GUARD_SHARE
from tasks.observe.peers import FALSE_ROLL_BACKS
from tasks.observe.ranking import Ranking
from tasks.observe.views import ERRORS_FLOOR, OTHER_FLOOR, TYPICAL_FLOOR
from tests.benchmarks.judge import memory
from tests.benchmarks.judge.latencies import Histograms
from tests.benchmarks.judge.worlds import BATCH_STEPS, Counts, Shares, Streams, coarsened

NEVER: Final = 10**6
GUARD_STEPS: Final = 6
ENOUGH: Final = -log(FALSE_ROLL_BACKS)


@dataclass(frozen=True)
class Levels:
    """One metric: [runs, batches, instances], the canary last; NaN where nothing was seen. `ends`: step after which each
    batch is known. `floor`: smaller differences are trivial. `share`: of the purse. Of ratios, `bad` and `total` as well.
    """

    level: Shares
    ends: tuple[int, ...]
    floor: float
    share: float = 1.0
    bad: Shares | None = None
    total: Shares | None = None


def of_errors(streams: Streams, steps: int = BATCH_STEPS) -> Levels:
    bad, total = (coarsened(one, steps).astype(float) for one in (streams.bad, streams.total))
    return _ratio(bad, total, steps, ERRORS_FLOOR)


def of_latency(found: Histograms, steps: int = BATCH_STEPS) -> tuple[Levels, ...]:
    """Typical, slow, and too slow (above 500 ms), as `views.latency_views` chooses them from the past."""
    counts = coarsened(found.counts, steps).astype(float)
    past = found.past.sum(0) / found.past.sum()
    cumulated, total = past.cumsum(), counts.sum(-1)
    slow, too_slow = int(np.argmax(cumulated >= 0.85)) + 1, 7
    with np.errstate(invalid="ignore"):
        typical = counts @ (cumulated - past / 2) / total
    tails = (
        _ratio(counts[..., start:].sum(-1), total, steps, OTHER_FLOOR * past[start:].sum())
        for start in (slow, too_slow)
    )
    return (Levels(typical, _ends(typical.shape[1], steps), TYPICAL_FLOOR), *tails)


def of_memory(levels: Shares) -> tuple[Levels, ...]:
    """Growth from window to window, as `gauges.Growth` measures it; windows in batches of 10 s."""
    found = []
    for seconds in WINDOWS_SECONDS:
        window = round(seconds / memory.SECONDS)
        means = coarsened(levels[:, : memory.STEPS // window * window], window) / window
        ends = tuple((2 + n) * window - 1 for n in range(means.shape[1] - 1))
        found.append(Levels(np.diff(means, axis=1), ends, 0.0, 1 / len(WINDOWS_SECONDS)))
    return tuple(found)


def _ratio(bad: Shares, total: Shares, steps: int, floor: float) -> Levels:
    level = np.where(total > 0, bad / np.maximum(total, 1), np.nan)
    return Levels(level, _ends(bad.shape[1], steps), floor, 1.0, bad, total)


def _ends(batches: int, steps: int) -> tuple[int, ...]:
    return tuple((1 + n) * steps - 1 for n in range(batches))


class _Metric:
    """One metric of all runs, up to now."""

    def __init__(self, levels: Levels, horizon: int) -> None:
        runs, _, instances = levels.level.shape
        self.levels = levels
        self.ranking = Ranking(horizon, instances - 1, (runs,))
        self._largest = _largest(levels)
        self._batch = -1

    def at(self, step: int) -> None:
        if step not in self.levels.ends:
            return
        self._batch = self.levels.ends.index(step)
        now = self.levels.level[:, self._batch]
        few = (~np.isnan(now[:, :-1])).sum(-1) < FEWEST_PEERS
        self.ranking.bet(np.where(few[:, None], np.nan, now[:, -1:]), now[:, :-1])

    def log(self) -> Shares:
        return self.ranking.log()

    def counts(self) -> NDArray[np.bool_]:
        """Does its difference count: not trivial, not usual among peers?"""
        floor = np.maximum(self.levels.floor, self.ranking.least_difference())
        return np.asarray(self._largest[:, max(self._batch, 0)] >= floor)


def _largest(levels: Levels) -> Shares:
    """After each batch: the canary's difference over all batches, or over the last few if that is larger."""
    seen = ~np.isnan(levels.level)
    count = seen[..., :-1].sum(-1)
    others = np.where(seen, levels.level, 0)[..., :-1].sum(-1) / np.maximum(count, 1)
    if levels.bad is None or levels.total is None:
        there = seen[..., -1] & (count > 0)
        apart = np.where(there, levels.level[..., -1] - others, 0.0)
        return np.maximum(*(_over(apart, n) / np.maximum(_over(there, n), 1) for n in _SPANS))
    bad, total = levels.bad, levels.total
    arms = (bad[..., -1], total[..., -1], bad[..., :-1].sum(-1), total[..., :-1].sum(-1))

    def difference(batches: int | None) -> Shares:
        own, n, theirs, m = (_over(one, batches) for one in arms)
        return np.asarray(own / np.maximum(n, 1) - theirs / np.maximum(m, 1))

    return np.maximum(*(difference(n) for n in _SPANS))


_SPANS: Final = (None, LATELY_BATCHES)


def _over(values: NDArray[Any], batches: int | None) -> Shares:
    """Sums over all batches until each, or over so many of the last."""
    sums = values.cumsum(1).astype(float)
    if batches is None:
        return sums
    before = np.concatenate([np.zeros_like(sums[:, :batches]), sums], 1)
    return np.asarray(sums - before[:, : sums.shape[1]])


def rolled_back(metrics: tuple[Levels, ...], steps: int, horizon: int, skip: int = 0) -> Counts:
    """The step after which each run is rolled back; NEVER if it is not. `skip`: steps of warm-up."""
    runs = metrics[0].level.shape[0]
    found, states = np.full(runs, NEVER), [_Metric(one, horizon) for one in metrics]
    shares = np.log([one.share / sum(each.share for each in metrics) for one in metrics])
    for step in range(skip, steps):
        if not any(step in one.ends for one in metrics):
            continue
        for state in states:
            state.at(step)
        logs = np.stack([one.log() for one in states])
        weighted = np.where([one.counts() for one in states], logs + shares[:, None], -np.inf)
        top = weighted.argmax(0)[None]
        outstanding = np.stack([one.ranking.stands_out(one.log()) for one in states])
        stands_out = np.take_along_axis(outstanding, top, 0)[0]
        guilty = (np.logaddexp.reduce(weighted, 0) >= ENOUGH) & stands_out
        found = np.where((found == NEVER) & guilty, step, found)
    return found


def guarded(streams: Streams) -> Counts:
    """The step at which the guard trips (errors of the last 30 s), asked every step."""

    def recent(counts: Counts) -> Counts:
        added = counts.cumsum(1)
        before = np.concatenate([np.zeros_like(added[:, :GUARD_STEPS]), added], 1)
        return np.asarray(added - before[:, : added.shape[1]])

    bad, total = recent(streams.bad[..., -1]), recent(streams.total[..., -1])
    others_bad, others = (recent(one[..., :-1].sum(-1)) for one in (streams.bad, streams.total))
    hit = (total >= GUARD_REQUESTS) & (bad >= GUARD_SHARE * total)
    hit &= others_bad <= GUARD_SHARE / 10 * others
    return np.where(hit.any(1), hit.argmax(1), NEVER)
