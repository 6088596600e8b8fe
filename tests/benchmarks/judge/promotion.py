"""How soon a good artifact is promoted, and how often a bad one is: the count bets of the shipping bound, on many runs at once."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from tasks.observe.betting import SAFE, count_log_bets, stakes
from tasks.observe.evidence import PROMOTION_ERROR
from tests.benchmarks.judge.worlds import SHARE, USUAL, Counts, Shares

MARGINS: Final = (0.0025, 0.005, 0.01)
BATCHES: Final = 720  # two hours
SECONDS: Final = 10.0
LEAST: Final = 6  # batches
DESIGNS: Final = {"5/95": 0.95, "5/5": 0.05}


def cells(
    rng: np.random.Generator, rate: int, runs: int
) -> Iterator[tuple[str, int, str, int, float, float, float, float]]:
    """World, rate, method, runs, share of bad ones promoted (two hours of looking), median and 95 % of the seconds until a
    good one is, share of good ones within 15 min."""
    for design, baseline in DESIGNS.items():
        for margin in MARGINS:
            good = promoted(rng, rate, runs, baseline, margin, USUAL)
            bad = promoted(rng, rate, runs, baseline, margin, USUAL + margin)
            median, late = (float(np.quantile(good, q, method="lower")) for q in (0.5, 0.95))
            wrong, soon = float(np.isfinite(bad).mean()), float((good <= 900).mean())
            yield f"{100 * margin:g} pp", rate, design, runs, wrong, median, late, soon


def promoted(
    rng: np.random.Generator, rate: int, runs: int, baseline: float, margin: float, failing: float
) -> Shares:
    """Seconds until the upper bound is below the margin; inf: never."""
    shape = (runs, BATCHES)
    total = rng.poisson(rate * SHARE * SECONDS, shape)
    others = rng.poisson(rate * baseline * SECONDS, shape)
    bad, others_bad = rng.binomial(total, failing), rng.binomial(others, USUAL)
    sure = _log_safe(bad, total, others_bad, others, margin) >= -np.log(PROMOTION_ERROR)
    sure[:, :LEAST] = False
    return np.asarray(np.where(sure.any(1), (sure.argmax(1) + 1) * SECONDS, np.inf))


def _log_safe(
    bad: Counts, total: Counts, others_bad: Counts, others: Counts, margin: float
) -> Shares:
    n, m = np.maximum(total, 1e-9), np.maximum(others, 1e-9)
    stake = stakes(SAFE, n / m, USUAL)
    logs = count_log_bets(stake, bad, n, others_bad, m, USUAL, margin=margin)
    logs = np.where(((total > 0) & (others > 0))[..., None], logs, 0.0).cumsum(1)
    return np.asarray(np.logaddexp.reduce(logs, -1) - np.log(len(SAFE)))
