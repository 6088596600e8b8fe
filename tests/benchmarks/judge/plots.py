"""Plots as SVG, written by hand: bars for false alarms, dots for the time until a regression is found."""

from collections.abc import Iterator, Sequence
from html import escape
from math import inf, log10
from typing import Final

from tests.benchmarks.judge.cells import JUDGE
from tests.benchmarks.judge.comparing import Cells, seconds

WIDTH: Final = 860
ROW: Final = 18
LEFT: Final = 250
OURS, THEIRS, LINE, INK = "#0b7285", "#adb5bd", "#e03131", "#212529"


def _page(title: str, height: int, body: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" role="img"'
        f' font-family="sans-serif" font-size="12" fill="{INK}">'
    )
    name = f'<title>{escape(title)}</title><rect width="100%" height="100%" fill="white"/>'
    return "\n".join([head, name, _text(10, 20, title, weight="bold"), *body, "</svg>", ""])


def _text(x: float, y: float, words: str, anchor: str = "start", weight: str = "normal") -> str:
    place = f'x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-weight="{weight}"'
    return f"<text {place}>{escape(words)}</text>"


def false_alarms(cells: Cells, kind: str, nulls: Sequence[str], rate: int) -> str:
    """For each method its worst null worlds as bars; the line is the promised 1 %."""
    methods = cells.methods(kind, nulls[0], rate)
    body, y = [], 40.0
    for world in nulls:
        y += ROW * 0.6
        body.append(_text(10, y, world, weight="bold"))
        for method in methods:
            y += ROW
            body += _bar(method, cells(kind, world, rate, method).power, y)
    end = y + 20
    one = _at(0.01)
    body.append(f'<line x1="{one:.0f}" x2="{one:.0f}" y1="34" y2="{end:.0f}" stroke="{LINE}"/>')
    body.append(_text(one + 3, end, "1 %"))
    return _page(
        f"{kind} at {rate} requests/s: false roll-backs (log scale)", round(end + 15), body
    )


def _bar(method: str, share: float, y: float) -> Iterator[str]:
    width = max(0.0, _at(share) - LEFT)
    colour = OURS if method.startswith(JUDGE) else THEIRS
    yield _text(LEFT - 6, y, method, anchor="end")
    yield f'<rect x="{LEFT}" y="{y - 11:.0f}" width="{width:.1f}" height="13" fill="{colour}"/>'
    yield _text(LEFT + width + 4, y, f"{100 * share:.1f} %")


def _at(share: float) -> float:
    """Three decades, 0.1 % to 100 %."""
    return LEFT + (WIDTH - LEFT - 70) * max(0.0, (log10(max(share, 1e-9)) + 3) / 3)


def times(cells: Cells, kind: str, regressions: Sequence[str], rate: int) -> str:
    """When each method has found half of the runs (dot) and 95 % of them (end of the line); hollow: false alarms above 5 %
    somewhere are not shown here, see the tables."""
    methods = cells.methods(kind, regressions[0], rate)
    body, y = [], 40.0
    for world in regressions:
        y += ROW * 0.6
        body.append(_text(10, y, world, weight="bold"))
        for method in methods:
            y += ROW
            one = cells(kind, world, rate, method)
            body += _dot(method, one.median, one.late, y)
    title = f"{kind} at {rate} requests/s: seconds until found, median and 95 % (log scale)"
    return _page(title, round(y + 25), body)


def _dot(method: str, median: float, late: float, y: float) -> Iterator[str]:
    colour = OURS if method.startswith(JUDGE) else THEIRS
    yield _text(LEFT - 6, y, method, anchor="end")
    if median == inf:
        yield _text(WIDTH - 60, y, "not found")
        return
    x, end = _when(median), _when(min(late, 900.0))
    yield f'<line x1="{x:.0f}" x2="{end:.0f}" y1="{y - 4:.0f}" y2="{y - 4:.0f}" stroke="{colour}"/>'
    yield f'<circle cx="{x:.0f}" cy="{y - 4:.0f}" r="4" fill="{colour}"/>'
    yield _text(end + 6, y, f"{seconds(median)} s")


def _when(found: float) -> float:
    """5 s to 900 s."""
    return LEFT + (WIDTH - LEFT - 130) * log10(max(found, 5.0) / 5) / log10(180)
