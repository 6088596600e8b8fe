"""Exact tail probabilities, written out so that no statistics package has to be installed with a worker.

Terms are summed from the observed count upwards, each from the one before by its ratio; past the mean they shrink
faster than a geometric series, so the sum is short even for a million requests.
"""

from collections.abc import Callable, Sequence
from math import comb, exp, lgamma, log, log1p

NEGLIGIBLE = 1e-17


def at_least(count: int, trials: int, share: float) -> float:
    """P(X >= count) for X binomial: how often `trials` requests that fail with probability `share` fail so often.

    At or below the mean the answer is 1: nobody asks how surprising the usual is.
    """
    if count <= trials * share:
        return 1.0
    first = _log_choose(trials, count) + count * log(share) + (trials - count) * log1p(-share)
    odds = share / (1 - share)
    return _upper_sum(first, count, trials, lambda k: (trials - k) / (k + 1) * odds)


def at_least_of(count: int, drawn: int, marked: int, population: int) -> float:
    """P(X >= count) for X hypergeometric: Fisher's exact test whether `drawn` requests got more than their share of
    the `marked` (failed) ones among the whole `population`."""
    if count * population <= drawn * marked:
        return 1.0
    rest = population - marked
    first = (
        _log_choose(marked, count)
        + _log_choose(rest, drawn - count)
        - _log_choose(population, drawn)
    )
    return _upper_sum(
        first,
        count,
        min(drawn, marked),
        lambda k: (marked - k) * (drawn - k) / ((k + 1) * (rest - drawn + k + 1)),
    )


def chance_of_ranks(some: Sequence[float], others: Sequence[float]) -> float:
    """How often so many of the highest values would be among `some` if all were drawn from the same (exact): of as many
    of the highest as there are of `some`. Ties count as low."""
    everything = sorted((*some, *others))
    line = everything[-len(some) - 1]
    high, marked = (sum(one > line for one in each) for each in (some, everything))
    return at_least_of(high, len(some), marked, len(everything))


def _upper_sum(log_first: float, start: int, end: int, ratio: Callable[[int], float]) -> float:
    term = total = 1.0
    for k in range(start, end):
        term *= ratio(k)
        total += term
        if term < NEGLIGIBLE * total:
            break
    return min(1.0, exp(log_first) * total)


def _log_choose(n: int, k: int) -> float:
    if n < 1000:
        return log(comb(n, k))
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
