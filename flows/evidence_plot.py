"""The evidence of a rollout over time: odds against the threshold above, what is ruled out against the margin below. Pure."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, isnan, log
from typing import Final

from pydantic import JsonValue

from flows.drawing import (
    HALO,
    INK,
    Scale,
    apart,
    frame,
    grid,
    line,
    nice_step,
    nice_ticks,
    shortened,
    time_axis,
    words,
)
from flows.markdown import alternative
from flows.retelling import Look

WIDTH, HEIGHT, LEFT, RIGHT = 720, 470, 74, 152
TOP: Final = (70, 230)
BOTTOM: Final = (280, 410)
COLOURS: Final = ("#d55e00", "#0072b2", "#009e73", "#b0538a", "#8c6d00", "#6b7480")
ODDS: Final = ": log odds"
AT_MOST: Final = ": at most"
MARGIN: Final = ": margin"
TOGETHER: Final = "all together"
NATS: Final = log(10)
LOWEST, HIGHEST = -3.0, 9.0  # powers of ten that are told apart
BILLION: Final = 9
RAISED: Final = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class _Panel:
    """`colours` are of all metrics: one keeps its own in both panels."""

    time: Scale
    value: Scale
    colours: Mapping[str, str]


def markdown_plot(looks: Sequence[Look], name: str) -> str:
    """A Markdown image of one line; empty if there was no evidence to plot."""
    if not series(looks, ODDS):
        return ""
    data = base64.b64encode(svg(looks, name).encode()).decode()
    return f"![{alternative(_title(name))}](data:image/svg+xml;base64,{data})"


def series(looks: Sequence[Look], ending: str) -> dict[str, Points]:
    """Of each metric: seconds and value, from the numbers of every look."""
    found: dict[str, Points] = {}
    for look in looks:
        for key, value in look.judgement.numbers.items():
            if key.endswith(ending) and _is_number(value):
                metric = key.removesuffix(ending)
                found.setdefault(metric, []).append((look.seconds, float(str(value))))
    return found


def svg(looks: Sequence[Look], name: str) -> str:
    """Two panels over one time axis."""
    odds = {metric: _times(1 / NATS, points) for metric, points in series(looks, ODDS).items()}
    if together := _together(looks, odds):
        odds[TOGETHER] = together
    claims = {metric: _times(100, points) for metric, points in series(looks, AT_MOST).items()}
    names = dict.fromkeys([*odds, *claims])
    colours = {metric: COLOURS[place % len(COLOURS)] for place, metric in enumerate(names)}
    colours[TOGETHER] = INK
    end = max([1.0, *(look.seconds for look in looks)])
    time = Scale(0, end, LEFT, WIDTH - RIGHT)
    parts = (
        frame(WIDTH, HEIGHT, _title(name)),
        words(16, 28, f"{shortened(name, 50)}: the evidence", 'font-size="17" font-weight="600"'),
        *_odds(odds, last(looks, "log_odds_needed", 4.6) / NATS, time, colours),
        *_claims(claims, _margins(looks, claims), time, colours),
        *time_axis(time, BOTTOM[1]),
    )
    return "".join(parts) + "</svg>"


def _together(looks: Sequence[Look], odds: Mapping[str, Points]) -> Points:
    """What is held against the threshold, where it is the mean of several."""
    if len(odds) < 2:
        return []
    found = [(look.seconds, look.judgement.numbers.get("log_odds")) for look in looks]
    return [(at, float(str(value)) / NATS) for at, value in found if _is_number(value)]


def _title(name: str) -> str:
    return f"the evidence about {name} over time"


def _times(factor: float, points: Points) -> Points:
    return [(at, factor * value) for at, value in points]


# ---- the two panels ------------------------------------------------------------------------------


def _odds(
    found: Mapping[str, Points], needed: float, time: Scale, colours: Mapping[str, str]
) -> Iterable[str]:
    """On a scale of powers of ten; 1:1 says nothing."""
    values = [value for points in found.values() for _, value in points]
    low = max(LOWEST, min([-1.0, *values]))
    high = max(needed + 0.3, min(HIGHEST, max([1.0, *values])))
    step = max(1.0, nice_step(high - low, 5))
    ticks = [step * number for number in range(floor(low / step), ceil(high / step) + 1)]
    scale = Scale(ticks[0], ticks[-1], TOP[1], TOP[0])
    yield words(16, TOP[0] - 16, "Odds against “just another instance”", 'font-weight="600"')
    yield from grid(LEFT, WIDTH - RIGHT, scale, ticks, _short_power)
    said = f"roll back from {power(needed * NATS)}"
    yield from _panel(found, [needed], said, _Panel(time, scale, colours))


def _claims(
    found: Mapping[str, Points],
    margins: Mapping[str, float],
    time: Scale,
    colours: Mapping[str, str],
) -> Iterable[str]:
    """The way down to the margin is what people look for: what was far above it at first is drawn at the top."""
    values = [value for points in found.values() for _, value in points]
    newest = [points[-1][1] for points in found.values()]
    near = max([2.0, *(8 * margin for margin in margins.values()), *(1.3 * one for one in newest)])
    ticks = nice_ticks(min(100.0, near, max([0.0, *values, *margins.values()])))
    scale = Scale(0, ticks[-1], BOTTOM[1], BOTTOM[0])
    title = "How much worse it may still be, percentage points"
    yield words(16, BOTTOM[0] - 16, title, 'font-weight="600"')
    yield from grid(LEFT, WIDTH - RIGHT, scale, ticks, lambda tick: f"{tick:g}")
    said = _promoted_below(margins)
    yield from _panel(found, margins.values(), said, _Panel(time, scale, colours))


def _promoted_below(margins: Mapping[str, float]) -> str:
    """It says whose margin is which where they differ."""
    if len(different := sorted(set(margins.values()))) <= 1:
        return "".join(f"promoted below {margin:g}" for margin in different)
    each = (f"{margin:g} ({metric})" for metric, margin in margins.items())
    return f"promoted below {', '.join(each)}"


def _panel(
    found: Mapping[str, Points], limits: Iterable[float], said: str, panel: _Panel
) -> Iterable[str]:
    """The thresholds, the lines, and each line's name beside its end. Words come last: lines go below them."""
    places = [panel.value(one) for one in sorted(set(limits))]
    for y in places:
        yield line(LEFT, y, WIDTH - RIGHT, y, INK, 1.5, "5 4")
    for metric, points in found.items():
        yield from _series(points, panel, panel.colours[metric])
    yield from _names(found, panel)
    if places:
        yield words(LEFT + 6, round(min(places) - 6, 1), said, f'font-size="13" {HALO}')


def _series(points: Points, panel: _Panel, colour: str) -> Iterable[str]:
    places = [(panel.time(at), panel.value(value)) for at, value in points]
    path = " ".join(f"{x},{y}" for x, y in places)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    x, y = places[-1]
    yield f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>'


def _names(found: Mapping[str, Points], panel: _Panel) -> Iterable[str]:
    ends = [panel.value(points[-1][1]) for points in found.values()]
    places = apart(ends, 17, panel.value.end, panel.value.start)
    for metric, y in zip(found, places, strict=True):
        style = f'font-size="13" font-weight="600" fill="{panel.colours[metric]}"'
        yield words(WIDTH - RIGHT + 9, y + 4, shortened(metric, 18), style)


# ---- numbers -------------------------------------------------------------------------------------


def _margins(looks: Sequence[Look], claims: Iterable[str]) -> dict[str, float]:
    """In percentage points, of those metrics that must keep one."""
    found = {metric: 100 * last(looks, f"{metric}{MARGIN}", 0.0) for metric in claims}
    return {metric: round(margin, 4) for metric, margin in found.items() if margin > 0}


def last(looks: Sequence[Look], name: str, otherwise: float) -> float:
    """The newest number of that name."""
    for look in reversed(looks):
        if _is_number(value := look.judgement.numbers.get(name)):
            return float(str(value))
    return otherwise


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not isnan(value)


def _short_power(tens: float) -> str:
    """Beside the axis: `1,000:1`, `10⁶:1`, `1:10⁵`."""
    if abs(tens) <= 4:
        return power(tens * NATS)
    zeros = f"10{f'{abs(tens):.0f}'.translate(RAISED)}"
    return f"{zeros}:1" if tens > 0 else f"1:{zeros}"


def power(log_odds: float) -> str:
    """For people: `340:1`, or 1 in so many."""
    tens = log_odds / NATS
    if abs(tens) > BILLION + 1e-9:
        return "more than a billion to 1" if tens > 0 else "1 to more than a billion"
    return f"{10**tens:,.0f}:1" if tens >= 0 else f"1:{10**-tens:,.0f}"
