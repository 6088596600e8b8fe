"""What both pictures are drawn with: scales, round ticks, lines, words that stay apart. SVG by hand. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Final
from xml.sax.saxutils import escape

from flows.words import one_line

INK, FAINT, PAPER = "#1f2933", "#c3cad3", "#ffffff"
# Text keeps a margin of paper around it where it crosses a line.
HALO: Final = f'stroke="{PAPER}" stroke-width="4" stroke-linejoin="round" paint-order="stroke"'


@dataclass(frozen=True)
class Scale:
    """From values to pixels. What is beyond its ends is drawn at the end: it stays inside its panel."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def frame(width: int, height: int, title: str, more: str = "") -> str:
    """The paper. `title` is what is read aloud; `more` goes into the `defs`."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" font-family="system-ui,Segoe UI,Helvetica,Arial,sans-serif" font-size="14"'
        f' fill="{INK}" role="img"><title>{escape(one_line(title))}</title><defs>{more}</defs>'
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" fill="{PAPER}"'
        f' stroke="{FAINT}"/>'
    )


def words(x: float, y: float, said: str, style: str = "") -> str:
    return f'<text x="{x}" y="{y}" {style}>{escape(one_line(said))}</text>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float, dash: str) -> str:
    where = f'x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"'
    return f'<line {where} stroke="{colour}" stroke-width="{width}"{dashed(dash)}/>'


def dashed(dash: str) -> str:
    return f' stroke-dasharray="{dash}"' if dash else ""


def grid(
    left: float, right: float, scale: Scale, ticks: Sequence[float], label: Callable[[float], str]
) -> Iterable[str]:
    """A line and a label for each tick; the one at zero is seen first."""
    for tick in ticks:
        y = scale(tick)
        yield line(left, y, right, y, INK if tick == 0 else FAINT, 1, "")
        yield words(left - 7, y + 5, label(tick), 'text-anchor="end" font-size="13"')


def time_axis(time: Scale, y: float) -> Iterable[str]:
    """Below the panels, in the unit that people would choose. `time` begins at 0 seconds."""
    unit, size = ("hours", 3600)
    if time.high <= 10800:
        unit, size = ("minutes", 60) if time.high > 180 else ("seconds", 1)
    for tick in nice_ticks(time.high / size, 8):
        if tick * size <= time.high:
            x = time(tick * size)
            yield line(x, y, x, y + 5, INK, 1, "")
            yield words(x, y + 20, f"{tick:g}", 'text-anchor="middle" font-size="13"')
    at = f"{unit} since the rollout began"
    yield words((time.start + time.end) / 2, y + 40, at, 'text-anchor="middle" font-size="13"')


def nice_step(most: float, count: int) -> float:
    """1, 2 or 5 times a power of ten: `most` is at most `count` of them."""
    rough = most / count
    power = 10.0 ** floor(log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999999)


def nice_ticks(most: float, count: int = 4) -> tuple[float, ...]:
    """From 0 to at least `most`, in steps of 1, 2 or 5 times a power of ten."""
    if most <= 0:
        return (0.0, 1.0)
    step = nice_step(most, count)
    return tuple(round(step * i, 10) for i in range(ceil(most / step - 1e-9) + 1))


def apart(wanted: Sequence[float], gap: float, top: float, bottom: float) -> list[float]:
    """As near to the places that are wanted as labels can stand `gap` apart between top and bottom; nearer to one another
    only if there is no room."""
    if not wanted:
        return []
    gap = min(gap, (bottom - top) / max(1, len(wanted) - 1))
    order = sorted(range(len(wanted)), key=lambda number: wanted[number])
    placed, lowest = [0.0] * len(wanted), top
    for rank, number in enumerate(order):
        below = gap * (len(order) - 1 - rank)
        placed[number] = round(min(max(wanted[number], lowest), bottom - below), 1)
        lowest = placed[number] + gap
    return placed


def shortened(said: str, most: int) -> str:
    """At most so many letters."""
    plain = one_line(said)
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"
