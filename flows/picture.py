"""The picture of a rollout for web pages: who answered the users, and how much of it failed. Pure.

An SVG inside a Markdown image (`data:` URL), written by hand: it needs no library. Seen in Prefect 3.8.8 with
chromium: it renders in the V2 and in the V1 interface, on light and on dark, scaled to the width of the page. Mermaid's
xychart renders in V2 only (V1 shows its source), has no legend and no dashes; inline `<svg>` is stripped by both.
"""

import base64
from collections.abc import Iterable, Sequence
from typing import Final

from flows.bins import Bin, allowed_share, bins, ended, in_words, since, stacked, who
from flows.course import Course, Ending
from flows.drawing import (
    FAINT,
    HALO,
    INK,
    PAPER,
    Scale,
    dashed,
    frame,
    grid,
    line,
    nice_ticks,
    shortened,
    time_axis,
    words,
)
from flows.markdown import alternative
from flows.words import percent
from tasks.model import Role

WIDTH, LEFT, RIGHT = 720, 58, 24
TOP_PANEL = (120, 150)  # y of its top, and height
LOW_PANEL = (316, 110)
HEIGHT = 480
TITLE_LETTERS: Final = 64
BLIND: Final = (
    '<pattern id="blind" width="8" height="8" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(45)"><rect width="8" height="8" fill="#eef0f3"/>'
    f'<path d="M0 0V8" stroke="{FAINT}" stroke-width="3"/></pattern>'
)
# Okabe and Ito's palette: told apart by colour-blind people; dashes tell them apart without any colour.
COLOURS: Final = {
    Role.CANARY: ("#D55E00", ""),
    Role.BASELINE: ("#56B4E9", "2 3"),
    Role.STABLE: ("#0072B2", "7 4"),
    Role.WARM: ("#8a94a0", "1 3"),
}


def markdown_picture(course: Course) -> str:
    """A Markdown image of one line; empty if nothing was observed."""
    if not course.samples:
        return ""
    data = base64.b64encode(svg(course).encode()).decode()
    return f"![{alternative(in_words(course))}](data:image/svg+xml;base64,{data})"


def svg(course: Course) -> str:
    """Two panels over one time axis: requests per second, stacked by group; and the share of each group's that failed."""
    found = bins(course)
    time = Scale(0, _time_end(course, found), LEFT, WIDTH - RIGHT)
    parts = (
        frame(WIDTH, HEIGHT, in_words(course), BLIND),
        words(16, 28, _heading(course), 'font-size="17" font-weight="600"'),
        *_legend(course),
        *_blindness(found, time),
        *_requests(course, found, time),
        *_failures(course, found, time),
        *time_axis(time, sum(LOW_PANEL)),
        *_marks(course, time),
    )
    return "".join(parts) + "</svg>"


def _time_end(course: Course, found: Sequence[Bin]) -> float:
    return max(1.0, course.seconds, *(one.end for one in found))


def _heading(course: Course) -> str:
    """How it ended is never cut off, however long the names are."""
    end = f": {ended(course)}"
    return f"{shortened(course.name, TITLE_LETTERS - len(end))}{end}"


def _legend(course: Course) -> Iterable[str]:
    x = 16.0
    for group in stacked(course):
        colour, dash = COLOURS[course.role(group)]
        label = who(course, group)
        if (
            x + 48 + 7.4 * len(label) > WIDTH
        ):  # of the many that were met, those that matter come first
            yield words(x, 54, "…")
            return
        yield f'<rect x="{x}" y="42" width="14" height="14" rx="2" fill="{colour}"/>'
        yield line(x + 18, 49, x + 42, 49, colour, 3, dash)
        yield words(x + 48, 54, label)
        x += 64 + 7.4 * len(label)


def _requests(course: Course, found: Sequence[Bin], time: Scale) -> Iterable[str]:
    top, height = TOP_PANEL
    most = max((one.requests / one.seconds for one in found if one.seconds), default=0.0)
    ticks = nice_ticks(most)
    scale = Scale(0, ticks[-1], top + height, top)
    title = f"Requests per second, stacked; share of the traffic given to {course.release}:"
    yield words(16, top - 32, title, 'font-weight="600"')
    yield from grid(LEFT, WIDTH - RIGHT, scale, ticks, lambda tick: f"{tick:g}")
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


def _area(time: Scale, one: Bin, low: float, high: float) -> str:
    return f"M{time(one.start)} {low}V{high}H{time(one.end)}V{low}Z"


def _name_inside(
    course: Course,
    group: str,
    time: Scale,
    found: Sequence[Bin],
    below: Sequence[float],
    above: Sequence[float],
    scale: Scale,
) -> Iterable[str]:
    """The group's name where its area is thick enough: read without any colour."""
    ink = INK if course.role(group) is Role.BASELINE else PAPER
    for one, low, high in zip(found, below, above, strict=True):
        if scale(low) - scale(high) >= 20 and time(one.start) + 9 * len(group) < WIDTH - RIGHT:
            y = (scale(low) + scale(high)) / 2 + 4.5
            yield words(time(one.start) + 7, round(y, 1), group, f'font-size="13" fill="{ink}"')
            return


def _failures(course: Course, found: Sequence[Bin], time: Scale) -> Iterable[str]:
    top, height = LOW_PANEL
    allowed = allowed_share(course)
    shares = [one.failure_share for each in found for one in each.traffic.values()]
    ticks = nice_ticks(max([*shares, 1.5 * (allowed or 0), 0.005]) * 100)
    scale = Scale(0, ticks[-1], top + height, top)
    yield words(16, top - 12, "Failed, % of each group's requests", f'font-weight="600" {HALO}')
    yield from grid(LEFT, WIDTH - RIGHT, scale, ticks, lambda tick: f"{tick:g} %")
    if allowed is not None:
        y = scale(allowed * 100)
        yield line(LEFT, y, WIDTH - RIGHT, y, INK, 1, "1 4")
        yield words(
            WIDTH - RIGHT - 4,
            y - 4,
            f"{percent(allowed)} allowed",
            'text-anchor="end" font-size="12"',
        )
    for group in reversed(stacked(course)):
        colour, dash = COLOURS[course.role(group)]
        width = 3.5 if group == course.release else 2
        yield from _polyline(
            found, group, time, scale, f'stroke="{colour}" stroke-width="{width}"{dashed(dash)}'
        )


def _polyline(
    found: Sequence[Bin], group: str, time: Scale, scale: Scale, style: str
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


def _blindness(found: Sequence[Bin], time: Scale) -> Iterable[str]:
    """Wide enough to be seen, and said in words wherever there is room for them."""
    free = 0.0
    for one in found:
        if not one.unseen:
            continue
        width = max(6.0, time(one.end) - time(one.start))
        x = min(time(one.start), time.end - width)
        for top, height in (TOP_PANEL, LOW_PANEL):
            yield f'<rect x="{x}" y="{top}" width="{width}" height="{height}" fill="url(#blind)"/>'
        middle = min(max(x + width / 2, LEFT + 26), time.end - 26)
        if middle - 26 >= free:
            style = f'text-anchor="middle" font-size="12" {HALO}'
            yield words(middle, TOP_PANEL[0] + 80, "not seen", style)
            free = middle + 30


def _marks(course: Course, time: Scale) -> Iterable[str]:
    """Where the steps began, with the share of the traffic that the new group was given; and how it ended."""
    top, bottom = TOP_PANEL[0], LOW_PANEL[0] + LOW_PANEL[1]
    free = WIDTH - RIGHT + 24.0
    for taken in reversed(course.steps):
        x = time(since(course, taken.at))
        yield line(x, top - 4, x, bottom, INK, 1, "3 3")
        group = taken.step.spec.group(course.release)
        label = f"{group.weight} %" if group and group.weight else "start"
        if x + 8 * len(label) < free:
            yield words(x, top - 8, label, 'font-size="13"')
            free = x
    if course.ending is not Ending.GOES_ON:
        x = time(course.seconds)
        yield line(x, top, x, bottom, INK, 2, "")
        anchor, beside = ("end", x - 5) if x > WIDTH / 2 else ("start", x + 5)
        style = f'text-anchor="{anchor}" font-weight="600" {HALO}'
        yield words(beside, LOW_PANEL[0] - 12, f"{course.ending.value} here", style)
