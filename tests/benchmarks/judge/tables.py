"""The cells as Markdown."""

from collections.abc import Iterable, Iterator, Sequence

from tests.benchmarks.judge import latencies, memory, promotion, worlds
from tests.benchmarks.judge.cells import RATES
from tests.benchmarks.judge.comparing import (
    REASONS,
    Better,
    Cells,
    Compared,
    Standing,
    seconds,
)

RATES_TOLD = " / ".join(map(str, RATES)) + " requests/s"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def percent(share: float) -> str:
    return f"{100 * share:.1f}" if share < 0.0995 else f"{100 * share:.0f}"


def all_tables(cells: Cells) -> Iterator[str]:
    for kind, nulls, regressions in (
        ("errors", list(worlds.NULL_WORLDS), list(worlds.REGRESSIONS)),
        ("latency", list(latencies.NULL_WORLDS), list(latencies.REGRESSIONS)),
    ):
        yield f"## {kind}: false roll-backs within 15 min, % ({RATES_TOLD})\n"
        yield from table(["method", *nulls], _false_alarms(cells, kind, nulls))
        for rate in RATES:
            yield f"## {kind}: found at {rate} requests/s\n"
            yield from table(["method", *regressions], _found(cells, kind, regressions, rate))
    yield from _memory(cells)
    yield from _promotion(cells)


def _false_alarms(cells: Cells, kind: str, nulls: list[str]) -> Iterator[list[str]]:
    methods = list(dict.fromkeys(one for world in nulls for one in cells.methods(kind, world, 100)))
    for method in methods:
        row = [method]
        for world in nulls:
            there = method in cells.methods(kind, world, 100)
            shares = [percent(cells(kind, world, rate, method).power) for rate in RATES if there]
            row.append(" / ".join(shares))
        yield row


def _found(cells: Cells, kind: str, regressions: list[str], rate: int) -> Iterator[list[str]]:
    for method in cells.methods(kind, regressions[0], rate):
        row = [method]
        for world in regressions:
            one = cells(kind, world, rate, method)
            times = f"{seconds(one.median)}/{seconds(one.late)} s"
            row.append(f"{100 * one.power:.0f} % · {times} · {one.harm:.0f}")
        yield row


def _memory(cells: Cells) -> Iterator[str]:
    yield "## memory: leaks found in 15 min (0 %/min: false alarms)\n"
    slopes = [str(one) for one in memory.SLOPES]
    rows = []
    for method in cells.methods("memory", slopes[0], 0):
        found = [cells("memory", slope, 0, method) for slope in slopes]
        rows.append(
            [method, *(f"{100 * one.power:.0f} % · {seconds(one.median)} s" for one in found)]
        )
    yield from table(["method", *(f"{slope} %/min" for slope in slopes)], rows)


def _promotion(cells: Cells) -> Iterator[str]:
    yield "## promotion: seconds until a good artifact is, share of bad ones (base + margin) that ever are in 2 h\n"
    rows = []
    for rate in RATES:
        for design in promotion.DESIGNS:
            for margin in promotion.MARGINS:
                one = cells("promotion", f"{100 * margin:g} pp", rate, design)
                figures = [
                    seconds(one.median),
                    seconds(one.late),
                    percent(one.harm),
                    percent(one.power),
                ]
                rows.append([str(rate), design, one.world, *figures])
    head = [
        "requests/s",
        "design",
        "margin",
        "median s",
        "95 % s",
        "good in 15 min, %",
        "bad promoted, %",
    ]
    yield from table(head, rows)


def prototype_table(found: Sequence[Compared]) -> Iterator[str]:
    counts = {kind: sum(one.standing is kind for one in found) for kind in Standing}
    yield "## Against the prototype, cell by cell\n"
    yield ", ".join(f"{count} {kind.value}" for kind, count in counts.items()) + ".\n"
    rows = [[one.what, one.ours, one.theirs, one.standing.value] for one in found]
    yield from table(["cell", "here", "prototype", "standing"], rows)


def exceptions_table(found: Sequence[Better]) -> Iterator[str]:
    yield "## Better than we are, at no more false alarms\n"
    yield "In at least one null world of that traffic; **everywhere** = in all of them.\n"
    rows = []
    for one in found:
        where = "**everywhere**" if one.everywhere else ", ".join(one.null_worlds)
        why = REASONS.get((one.kind, one.method), "**NOT NAMED**")
        better = ", ".join(one.regressions)
        rows.append([one.kind, one.method, str(one.rate or ""), better, where, why])
    head = [
        "kind",
        "method",
        "requests/s",
        "better at",
        "no more false alarms in",
        "why it is not used",
    ]
    yield from table(head, rows)
