"""The picture of a rollout for web pages: who answered the users, and how much of it failed. Pure.

An SVG inside a Markdown image (`data:` URL), written by hand: it needs no library. Seen in Prefect 3.8.8 with
chromium: it renders in the V2 and in the V1 interface, on light and on dark, scaled to the width of the page. Mermaid's
xychart renders in V2 only (V1 shows its source), has no legend and no dashes; inline `<svg>` is stripped by both.
"""

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Final
from xml.sax.saxutils import escape

from flows.bins import Bin, allowed_share, bins, ended, in_words, since, stacked, who
from flows.course import Course, Ending
from flows.words import percent
from tasks.model import Role

WIDTH, LEFT, RIGHT = 720, 58, 24
TOP_PANEL = (120, 150)  # y of its top, and height
LOW_PANEL = (316, 110)
HEIGHT = 480
INK, FAINT, PAPER = "#1f2933", "#c3cad3", "#ffffff"
# Okabe and Ito's palette: told apart by colour-blind people; dashes tell them apart without any colour.
COLOURS: Final = {
    Role.CANARY: ("#D55E00", ""),
    Role.BASELINE: ("#56B4E9", "2 3"),
    Role.STABLE: ("#0072B2", "7 4"),
    Role.WARM: ("#8a94a0", "1 3"),
}

# Text keeps a margin of paper around it where it crosses a line.
HALO: Final = f'stroke="{PAPER}" stroke-width="4" stroke-linejoin="round" paint-order="stroke"'


@dataclass(frozen=True)
class _Scale:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def markdown_picture(course: Course) -> str:
    """A Markdown image of one line; empty if nothing was observed."""
    if not course.samples:
        return ""
    data = base64.b64encode(svg(course).encode()).decode()
    return f"![{_plain(in_words(course))}](data:image/svg+xml;base64,{data})"


def _plain(text: str) -> str:
    return "".join(mark for mark in text if mark not in "[]()`\n\r\\")


def svg(course: Course) -> str:
    """Two panels over one time axis: requests per second, stacked by group; and the share of each group's that failed."""
    found = bins(course)
    time = _Scale(0, _time_end(course, found), LEFT, WIDTH - RIGHT)
    parts = (
        *_frame(course),
        *_legend(course),
        *_blindness(found, time),
        *_requests(course, found, time),
        *_failures(course, found, time),
        *_time_axis(time),
        *_marks(course, time),
    )
    return "".join(parts) + "</svg>"


def _time_end(course: Course, found: Sequence[Bin]) -> float:
    return max(1.0, course.seconds, *(one.end for one in found))


def _frame(course: Course) -> Iterable[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}"'
        f' height="{HEIGHT}" font-family="system-ui,Segoe UI,Helvetica,Arial,sans-serif" font-size="14"'
        f' fill="{INK}" role="img"><title>{escape(in_words(course))}</title>'
        '<defs><pattern id="blind" width="8" height="8" patternUnits="userSpaceOnUse"'
        ' patternTransform="rotate(45)"><rect width="8" height="8" fill="#eef0f3"/>'
        f'<path d="M0 0V8" stroke="{FAINT}" stroke-width="3"/></pattern></defs>'
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8" fill="{PAPER}"'
        f' stroke="{FAINT}"/>'
    )
    yield _text(16, 28, f"{course.name}: {ended(course)}", 'font-size="17" font-weight="600"')


def _legend(course: Course) -> Iterable[str]:
    x = 16.0
    for group in stacked(course):
        colour, dash = COLOURS[course.role(group)]
        label = who(course, group)
        yield f'<rect x="{x}" y="42" width="14" height="14" rx="2" fill="{colour}"/>'
        yield _line(x + 18, 49, x + 42, 49, colour, 3, dash)
        yield _text(x + 48, 54, label)
        x += 64 + 7.4 * len(label)


def _requests(course: Course, found: Sequence[Bin], time: _Scale) -> Iterable[str]:
    top, height = TOP_PANEL
    most = max((one.requests / one.seconds for one in found if one.seconds), default=0.0)
    ticks = nice_ticks(most)
    scale = _Scale(0, ticks[-1], top + height, top)
    title = f"Requests per second, stacked; share of the traffic given to {course.release}:"
    yield _text(16, top - 32, title, 'font-weight="600"')
    yield from _grid(scale, ticks, lambda tick: f"{tick:g}")
    below = [0.0] * len(found)
    for group in stacked(course):
        above = [
            base + (one.rate(group) if not one.unseen else 0.0)
            for base, one in zip(below, found, strict=True)
        ]
        areas = (
            _area(time, one, scale(low), scale(high))
            for one, low, high in zip(found, below, above, strict=True)
            if high > low
        )
        if path := "".join(areas):
            yield f'<path d="{path}" fill="{COLOURS[course.role(group)][0]}"/>'
            yield from _name_inside(course, group, time, found, below, above, scale)
        below = above


def _area(time: _Scale, one: Bin, low: float, high: float) -> str:
    return f"M{time(one.start)} {low}V{high}H{time(one.end)}V{low}Z"


def _name_inside(
    course: Course,
    group: str,
    time: _Scale,
    found: Sequence[Bin],
    below: Sequence[float],
    above: Sequence[float],
    scale: _Scale,
) -> Iterable[str]:
    """The group's name where its area is thick enough: read without any colour."""
    ink = INK if course.role(group) is Role.BASELINE else PAPER
    for one, low, high in zip(found, below, above, strict=True):
        if scale(low) - scale(high) >= 20 and time(one.start) + 9 * len(group) < WIDTH - RIGHT:
            y = (scale(low) + scale(high)) / 2 + 4.5
            yield _text(time(one.start) + 7, round(y, 1), group, f'font-size="13" fill="{ink}"')
            return


def _failures(course: Course, found: Sequence[Bin], time: _Scale) -> Iterable[str]:
    top, height = LOW_PANEL
    allowed = allowed_share(course)
    shares = [one.failure_share for each in found for one in each.traffic.values()]
    ticks = nice_ticks(max([*shares, 1.5 * (allowed or 0), 0.005]) * 100)
    scale = _Scale(0, ticks[-1], top + height, top)
    yield _text(16, top - 12, "Failed, % of each group's requests", f'font-weight="600" {HALO}')
    yield from _grid(scale, ticks, lambda tick: f"{tick:g} %")
    if allowed is not None:
        y = scale(allowed * 100)
        yield _line(LEFT, y, WIDTH - RIGHT, y, INK, 1, "1 4")
        yield _text(
            WIDTH - RIGHT - 4,
            y - 4,
            f"{percent(allowed)} allowed",
            'text-anchor="end" font-size="12"',
        )
    for group in reversed(stacked(course)):
        colour, dash = COLOURS[course.role(group)]
        width = 3.5 if group == course.release else 2
        yield from _polyline(
            found, group, time, scale, f'stroke="{colour}" stroke-width="{width}"{_dashed(dash)}'
        )


def _polyline(
    found: Sequence[Bin], group: str, time: _Scale, scale: _Scale, style: str
) -> Iterable[str]:
    """Steps, because a sample is a mean over its time; broken where the group answered nothing."""
    path, end = "", None
    for one in found:
        if one.unseen or not one.traffic[group].requests:
            end = None
            continue
        y = scale(one.traffic[group].failure_share * 100)
        near = end is not None and time(one.start) - end < 3
        path += f"V{y}H{time(one.end)}" if near else f"M{time(one.start)} {y}H{time(one.end)}"
        end = time(one.end)
    if path:
        yield f'<path d="{path}" fill="none" stroke-linejoin="round" {style}/>'


def _blindness(found: Sequence[Bin], time: _Scale) -> Iterable[str]:
    for one in found:
        if one.unseen:
            x, width = time(one.start), max(6.0, time(one.end) - time(one.start))
            for top, height in (TOP_PANEL, LOW_PANEL):
                yield f'<rect x="{x}" y="{top}" width="{width}" height="{height}" fill="url(#blind)"/>'
            yield _text(
                x + width / 2, TOP_PANEL[0] + 80, "not seen", 'text-anchor="middle" font-size="12"'
            )


def _grid(scale: _Scale, ticks: Sequence[float], label: Callable[[float], str]) -> Iterable[str]:
    for tick in ticks:
        y = scale(tick)
        yield _line(LEFT, y, WIDTH - RIGHT, y, INK if tick == 0 else FAINT, 1, "")
        yield _text(LEFT - 7, y + 5, label(tick), 'text-anchor="end" font-size="13"')


def _time_axis(time: _Scale) -> Iterable[str]:
    unit, size = (
        ("seconds", 1)
        if time.high <= 180
        else ("minutes", 60)
        if time.high <= 10800
        else ("hours", 3600)
    )
    y = LOW_PANEL[0] + LOW_PANEL[1]
    for tick in nice_ticks(time.high / size, 8):
        if tick * size <= time.high:
            x = time(tick * size)
            yield _line(x, y, x, y + 5, INK, 1, "")
            yield _text(x, y + 20, f"{tick:g}", 'text-anchor="middle" font-size="13"')
    at = f"{unit} since the rollout began"
    yield _text((LEFT + WIDTH - RIGHT) / 2, y + 40, at, 'text-anchor="middle" font-size="13"')


def _marks(course: Course, time: _Scale) -> Iterable[str]:
    """Where the steps began, with the share of the traffic that the new group was given; and how it ended."""
    top, bottom = TOP_PANEL[0], LOW_PANEL[0] + LOW_PANEL[1]
    free = WIDTH - RIGHT + 24.0
    for taken in reversed(course.steps):
        x = time(since(course, taken.at))
        yield _line(x, top - 4, x, bottom, INK, 1, "3 3")
        group = taken.step.spec.group(course.release)
        label = f"{group.weight} %" if group and group.weight else "start"
        if x + 8 * len(label) < free:
            yield _text(x, top - 8, label, 'font-size="13"')
            free = x
    if course.ending is not Ending.GOES_ON:
        x = time(course.seconds)
        yield _line(x, top, x, bottom, INK, 2, "")
        style = f'text-anchor="end" font-weight="600" {HALO}'
        yield _text(x, LOW_PANEL[0] - 12, f"{course.ending.value} here", style)


def _text(x: float, y: float, words: str, style: str = "") -> str:
    return f'<text x="{x}" y="{y}" {style}>{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float, dash: str) -> str:
    where = f'x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"'
    return f'<line {where} stroke="{colour}" stroke-width="{width}"{_dashed(dash)}/>'


def _dashed(dash: str) -> str:
    return f' stroke-dasharray="{dash}"' if dash else ""


def nice_ticks(most: float, count: int = 4) -> tuple[float, ...]:
    """From 0 to at least `most`, in steps of 1, 2 or 5 times a power of ten."""
    if most <= 0:
        return (0.0, 1.0)
    rough = most / count
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999999)
    return tuple(round(step * i, 10) for i in range(ceil(most / step - 1e-9) + 1))
