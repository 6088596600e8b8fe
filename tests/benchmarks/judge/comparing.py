"""Is it at least as good as the prototype in every cell? Is any other method better at equal or fewer false alarms?"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import inf, sqrt
from typing import Final

from tests.benchmarks.judge import latencies, prototype, worlds
from tests.benchmarks.judge.cells import JUDGE, RATES, Cell

NOISE: Final = 2.6  # standard deviations: one cell of a hundred is further off by chance
SECONDS_NOISE: Final = 0.12  # of a median or a 95 % quantile, or one batch
BATCH_SECONDS: Final = 10.0
ENOUGH_POWER: Final = 0.05


class Standing(StrEnum):
    """Against the prototype's figure."""

    BETTER = "better"
    SAME = "as good"
    WORSE = "WORSE"


@dataclass(frozen=True)
class Compared:
    """One cell beside the prototype's."""

    what: str
    ours: str
    theirs: str
    standing: Standing


class Cells:
    """The cells by their place in the tables."""

    def __init__(self, cells: Iterable[Cell]) -> None:
        self._cells = {(one.kind, one.world, one.rate, one.method): one for one in cells}

    def __call__(self, kind: str, world: str, rate: int, method: str = JUDGE) -> Cell:
        return self._cells[kind, world, rate, method]

    def methods(self, kind: str, world: str, rate: int) -> list[str]:
        """In the order of the tables."""
        place = (kind, world, rate)
        return [
            one.method for one in self._cells.values() if (one.kind, one.world, one.rate) == place
        ]


# ---- the prototype -------------------------------------------------------------------------------


def with_prototype(cells: Cells) -> Iterator[Compared]:
    for (kind, world), shares in prototype.FALSE_ALARMS.items():
        for rate, theirs in zip(RATES, shares, strict=True):
            found = cells(kind, world, rate)
            runs = prototype.RUNS[kind][0]
            standing = _rarer(found.power, found.runs, theirs / 100, runs)
            what = f"{kind}, {world}, {rate}/s: false alarms"
            yield Compared(what, f"{100 * found.power:.1f} %", f"{theirs:g} %", standing)
    for (kind, world), figures in prototype.FOUND.items():
        for rate, detection in zip(RATES, figures, strict=True):
            yield _detected(f"{kind}, {world}, {rate}/s", cells(kind, world, rate), detection)
    for slope, (power, median) in prototype.LEAKS.items():
        found = cells("memory", slope, 0)
        what = f"memory, {slope} %/min"
        if slope == "0.0":
            standing = _rarer(found.power, found.runs, 0.0, prototype.RUNS["memory"][0])
            yield Compared(f"{what}: false alarms", f"{100 * found.power:.1f} %", "0 %", standing)
        else:
            yield _detected(what, found, (power, median, inf))
    for (margin, rate), (median, late) in prototype.PROMOTED.items():
        good = cells("promotion", margin, rate, "5/95")
        standing = worst(_sooner(good.median, median), _sooner(good.late, late))
        yield Compared(
            f"promotion, margin {margin}, {rate}/s",
            f"{seconds(good.median)}/{seconds(good.late)} s",
            f"{seconds(median)}/{seconds(late)} s",
            standing,
        )


def _detected(what: str, found: Cell, theirs: prototype.Detection) -> Compared:
    power, median, late = theirs
    runs = prototype.RUNS[found.kind][1]
    standing = _rarer(1 - found.power, found.runs, 1 - power / 100, runs)
    if min(power / 100, found.power) > 0.5 + ENOUGH_POWER:
        standing = worst(standing, _sooner(found.median, median))
    if min(power / 100, found.power) > 0.95 + ENOUGH_POWER / 2 and late < inf:
        standing = worst(standing, _sooner(found.late, late))
    shown = f"{100 * found.power:.0f} %, {seconds(found.median)}/{seconds(found.late)} s"
    return Compared(what, shown, f"{power:g} %, {seconds(median)}/{seconds(late)} s", standing)


def _rarer(ours: float, runs: int, theirs: float, their_runs: int) -> Standing:
    """Shares that should be small."""
    pooled = (ours * runs + theirs * their_runs) / (runs + their_runs)
    noise = NOISE * sqrt(max(pooled * (1 - pooled), 1e-4) * (1 / runs + 1 / their_runs))
    return _standing(ours - theirs, noise)


def _sooner(ours: float, theirs: float) -> Standing:
    if ours == theirs:
        return Standing.SAME
    return _standing(ours - theirs, max(BATCH_SECONDS, SECONDS_NOISE * min(ours, theirs)))


def _standing(more: float, noise: float) -> Standing:
    if abs(more) <= noise:
        return Standing.SAME
    return Standing.WORSE if more > 0 else Standing.BETTER


def worst(*standings: Standing) -> Standing:
    for one in (Standing.WORSE, Standing.BETTER):
        if one in standings:
            return one
    return Standing.SAME


def seconds(found: float) -> str:
    return "-" if found == inf else f"{found:.0f}"


# ---- the rivals ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Better:
    """A method that finds a regression more often, or sooner, with no more false alarms in these worlds. `everywhere`: in
    all null worlds of this traffic, and so without doubt better there."""

    kind: str
    method: str
    rate: int
    regressions: tuple[str, ...]
    null_worlds: tuple[str, ...]
    everywhere: bool


def exceptions(cells: Cells) -> Iterator[Better]:
    tables: dict[str, tuple[Iterable[str], Iterable[str]]] = {
        "errors": (worlds.NULL_WORLDS, worlds.REGRESSIONS),
        "latency": (latencies.NULL_WORLDS, latencies.REGRESSIONS),
    }
    for kind, (some_nulls, some_regressions) in tables.items():
        nulls, regressions = tuple(some_nulls), tuple(some_regressions)
        for rate in RATES:
            for method in cells.methods(kind, regressions[0], rate):
                if method.startswith(JUDGE):
                    continue
                better = tuple(
                    one for one in regressions if _better(cells, kind, one, rate, method)
                )
                fewer = tuple(one for one in nulls if _no_more(cells, kind, one, rate, method))
                if better and fewer:
                    everywhere = len(fewer) == len(nulls)
                    yield Better(kind, method, rate, better, fewer, everywhere)
    yield from _of_memory(cells)


def _of_memory(cells: Cells) -> Iterator[Better]:
    slopes = ("0.25", "0.5", "1.0", "2.0")
    for method in cells.methods("memory", "0.0", 0):
        if method == JUDGE or not _no_more(cells, "memory", "0.0", 0, method):
            continue
        better = tuple(one for one in slopes if _better(cells, "memory", one, 0, method))
        if better:
            yield Better("memory", method, 0, better, ("0.0",), True)


def _no_more(cells: Cells, kind: str, world: str, rate: int, method: str) -> bool:
    return cells(kind, world, rate, method).power <= cells(kind, world, rate).power


def _better(cells: Cells, kind: str, world: str, rate: int, method: str) -> bool:
    ours, theirs = cells(kind, world, rate), cells(kind, world, rate, method)
    missed = _rarer(1 - ours.power, ours.runs, 1 - theirs.power, theirs.runs)
    if missed is Standing.WORSE:
        return True
    enough = min(ours.power, theirs.power) > 0.5 + ENOUGH_POWER
    sooner = _sooner(ours.median, theirs.median) is Standing.WORSE
    return enough and missed is Standing.SAME and sooner


REASONS: Final[dict[tuple[str, str], str]] = {
    ("errors", "Argo >= 99 %, limit 1"): (
        "a fixed line is fast where errors cross it and the world stands still; outages and drift that hit everybody make it"
        " roll back good artifacts (up to 88 %)"
    ),
    ("errors", "Argo >= 99 %, limit 3"): "the same, slower, with up to 57 %",
    ("errors", "Argo >= 99.8 %, limit 1"): "the same; only retry bursts in few batches spare it",
    (
        "errors",
        "z-test, end",
    ): "one look at the end; valid for independent errors only: 30 % in bad spells, 26 % in bursts",
    (
        "errors",
        "z-test, peek",
    ): "not valid under peeking: 19 % of good artifacts; only fewer where there is hardly an error",
    (
        "errors",
        "mSPRT",
    ): "assumes independent errors: 30 % false alarms with retry bursts or bad spells at 1000/s",
    ("errors", "Lindon-Malek"): (
        "multiplies each error as if independent: decides in 5 s what a rank needs three batches for, and rolls back 90 % of"
        " good artifacts under retry bursts"
    ),
    (
        "errors",
        "Kayenta, end",
    ): "one value a minute is slower everywhere; its power at 10/s comes from ties it cannot see",
    ("errors", "Kayenta, peek each minute"): "the same",
    (
        "latency",
        "p99 <= 625 ms, limit 1",
    ): "a fixed line just above the usual p99: 74 - 100 % of good artifacts",
    ("latency", "p99 <= 1 s, limit 3"): (
        "a fixed line at twice the usual p99 finds p99 x2 at little traffic, where a histogram of a few requests says little;"
        " it finds nothing else, and drift costs 9 %"
    ),
    (
        "latency",
        "multinomial mixture",
    ): "assumes independent requests; unequal hosts 32 %, cold start 100 %",
    (
        "latency",
        "anytime DKW band",
    ): "assumes independent requests; unequal hosts 19 %, cold start 100 %",
    ("latency", "Kayenta p50 or p99, peek"): "one value a minute; unequal hosts 36 %",
    ("latency", "Kayenta p50 or p99, end"): "one value a minute; unequal hosts 34 %",
    ("memory", "10 % above its own start"): (
        "a line drawn where these leaks cross it: no evidence, no error bound, and it would roll back any good artifact that"
        " warms a cache"
    ),
}
"""Every exception has a name and a reason; one without is a finding of its own."""


def unnamed(found: Iterable[Better]) -> list[Better]:
    return [one for one in found if (one.kind, one.method) not in REASONS]
