"""Histograms as Prometheus has them, classic and native, as ours. Pure. UnusableAnswerError where one lies.

Classic buckets are cumulative and named by their upper bound `le`. Native ones grow by a factor of 2^(2^-schema) and exist only
where something was counted; they are gathered on a grid, the same for all instances of a reading.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from itertools import pairwise
from math import ceil, floor, inf, isfinite, isnan, log2
from typing import Final

from tasks.adapters.prometheus_answers import Native, UnusableAnswerError
from tasks.model import LatencyHistogram

FINEST: Final = 1  # the grid's schema: bounds that grow by the square root of 2
LEAST, MOST = 2.0**-10, 2.0**6  # seconds: the grid's ends
CLOSE: Final = 1e-6

Made = Callable[[], LatencyHistogram]


def classic(buckets: Mapping[str, float], scale: float) -> LatencyHistogram:
    """From cumulative counts by `le`. `scale`: of ours for one of theirs, 1000 for seconds."""
    counts = sorted((_bound(le), count) for le, count in buckets.items())
    if not counts or counts[-1][0] != inf:
        raise UnusableAnswerError("a histogram without the bucket le=+Inf")
    if wrong := [count for _, count in counts if not isfinite(count) or count < 0]:
        raise UnusableAnswerError(f"a bucket that holds {wrong[0]:g}")
    if any(above < below for (_, below), (_, above) in pairwise(counts)):
        raise UnusableAnswerError("buckets that are not cumulative: a larger le holds fewer")
    bounds = tuple(scaled(bound, scale) for bound, _ in counts[:-1])
    whole = [0, *(round(count) for _, count in counts)]
    return LatencyHistogram(bounds, tuple(after - before for before, after in pairwise(whole)))


def scaled(bound: float, scale: float) -> float:
    """Without the last digits that multiplication invents: 0.07 s are 70 ms."""
    return float(f"{bound * scale:.12g}")


def _bound(le: str) -> float:
    try:
        found = float(le)
    except ValueError as error:
        raise UnusableAnswerError(f"a bucket le={le!r}") from error
    if isnan(found):
        raise UnusableAnswerError(f"a bucket le={le!r}")
    return found


def native(histograms: Mapping[str, Native], scale: float) -> dict[str, LatencyHistogram]:
    """Of several instances, on the grid of the coarsest: what is inside one bucket cannot be split, and shall not look slower
    for it."""
    for one in histograms.values():
        if wrong := [count for _, _, count in one.buckets if not isfinite(count) or count < 0]:
            raise UnusableAnswerError(f"a bucket that holds {wrong[0]:g}")
    grid = _grid(min([FINEST, *(_schema(one) for one in histograms.values())]))
    bounds = tuple(scaled(bound, scale) for bound in grid)
    return {
        name: LatencyHistogram(bounds, _gathered(one, grid)) for name, one in histograms.items()
    }


def _schema(histogram: Native) -> int:
    """How often the bounds double: 3 means eight buckets for each doubling. Negative: one bucket for several."""
    factors = [right / left for left, right, _ in histogram.buckets if left > 0 and right < inf]
    widest = max(factors, default=1.0)
    return FINEST if widest <= 1 else floor(-log2(log2(widest)) + CLOSE)


def _grid(schema: int) -> tuple[float, ...]:
    """All bounds of that schema between the ends."""
    each = 2.0**-schema  # doublings from bound to bound
    first, last = ceil(log2(LEAST) / each - CLOSE), floor(log2(MOST) / each + CLOSE)
    return tuple(2.0 ** (number * each) for number in range(first, last + 1))


def _gathered(histogram: Native, grid: tuple[float, ...]) -> tuple[int, ...]:
    counts = [0.0] * (len(grid) + 1)
    for _, right, count in histogram.buckets:
        counts[bisect_left(grid, right * (1 - CLOSE))] += count
    return tuple(round(count) for count in counts)
