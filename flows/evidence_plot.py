"""The evidence of a rollout over time: odds against the threshold above, what is ruled out against the margin below. Pure."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from math import log
from typing import Final

from pydantic import JsonValue

from flows.retelling import Look

WIDTH, HEIGHT, LEFT, RIGHT = 720, 420, 64, 150
TOP: Final = (60, 200)
BOTTOM: Final = (250, 380)
COLOURS: Final = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#8a94a0")
INK, FAINT, PAPER = "#1f2933", "#c8ced6", "#ffffff"
ODDS: Final = ": log odds"
AT_MOST: Final = ": at most"
NATS: Final = log(10)

Points = list[tuple[float, float]]


def markdown_plot(looks: Sequence[Look], name: str) -> str:
    """A Markdown image of one line; empty if there was no evidence to plot."""
    if not series(looks, ODDS):
        return ""
    data = base64.b64encode(svg(looks, name).encode()).decode()
    return f"![the evidence about {name} over time](data:image/svg+xml;base64,{data})"


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
    odds = {
        metric: [(at, value / NATS) for at, value in points]
        for metric, points in series(looks, ODDS).items()
    }
    needed = _last(looks, "log_odds_needed", 4.6) / NATS
    claims = series(looks, AT_MOST)
    end = max(look.seconds for look in looks) or 1.0
    begin = min(look.seconds for look in looks)
    span = (begin, end if end > begin else begin + 1)
    top = max([needed * 1.15, *(value for points in odds.values() for _, value in points)])
    low = min([-1.0, *(value for points in odds.values() for _, value in points)])
    highest = max([0.02, *(min(value, 0.2) for points in claims.values() for _, value in points)])
    parts = (
        _frame(name),
        _text(LEFT, 48, "Odds against “just another instance”, powers of ten", "600"),
        *_panel(odds, span, (max(low, -3.0), top), TOP, tuple(odds)),
        *_limit(needed, (max(low, -3.0), top), TOP, "roll back"),
        _text(LEFT, 238, "How much worse it may still be, percentage points", "600"),
        *_panel(_percent(claims), span, (0.0, 100 * highest), BOTTOM, tuple(odds)),
        *_margins(looks, claims, (0.0, 100 * highest)),
        _text(LEFT, 410, f"{span[0]:.0f} to {span[1]:.0f} seconds after the rollout began", ""),
    )
    return "".join(parts) + "</svg>"


def _percent(claims: dict[str, Points]) -> dict[str, Points]:
    return {name: [(at, 100 * value) for at, value in points] for name, points in claims.items()}


def _panel(
    found: dict[str, Points],
    span: tuple[float, float],
    limits: tuple[float, float],
    panel: tuple[int, int],
    order: Sequence[str],
) -> Iterable[str]:
    for y in panel:
        yield _line(LEFT, y, WIDTH - RIGHT, y, FAINT, "")
    yield _text(8, panel[0] + 5, f"{limits[1]:.3g}", "")
    yield _text(8, panel[1] + 5, f"{limits[0]:.3g}", "")
    for metric, points in found.items():
        number = order.index(metric) if metric in order else 0
        colour = COLOURS[number % len(COLOURS)]
        places = " ".join(
            f"{_x(at, span):.1f},{_y(value, limits, panel):.1f}" for at, value in points
        )
        yield f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield _text(WIDTH - RIGHT + 8, panel[0] + 12 + 18 * number, metric, "600", colour)


def _limit(
    value: float, limits: tuple[float, float], panel: tuple[int, int], words: str
) -> Iterable[str]:
    y = _y(value, limits, panel)
    yield _line(LEFT, y, WIDTH - RIGHT, y, INK, "5 4")
    yield _text(LEFT + 4, y - 5, words, "")


def _margins(
    looks: Sequence[Look], claims: dict[str, Points], limits: tuple[float, float]
) -> Iterable[str]:
    margins = {_last(looks, f"{metric}: margin", 0.0) for metric in claims}
    for margin in sorted(margins - {0.0}):
        yield from _limit(100 * margin, limits, BOTTOM, "promoted below")


def _last(looks: Sequence[Look], name: str, otherwise: float) -> float:
    for look in reversed(looks):
        if _is_number(value := look.judgement.numbers.get(name)):
            return float(str(value))
    return otherwise


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _x(at: float, span: tuple[float, float]) -> float:
    return LEFT + (at - span[0]) / (span[1] - span[0]) * (WIDTH - RIGHT - LEFT)


def _y(value: float, limits: tuple[float, float], panel: tuple[int, int]) -> float:
    share = (min(max(value, limits[0]), limits[1]) - limits[0]) / (limits[1] - limits[0] or 1)
    return panel[1] - share * (panel[1] - panel[0])


def _frame(name: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        f' font-family="system-ui,Segoe UI,Helvetica,Arial,sans-serif" font-size="13" fill="{INK}" role="img">'
        f"<title>{escape(f'The evidence about {name} over time')}</title>"
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8" fill="{PAPER}" stroke="{FAINT}"/>'
        + _text(16, 26, f"{name}: the evidence", "600")
    )


def _text(x: float, y: float, words: str, weight: str, colour: str = INK) -> str:
    bold = f' font-weight="{weight}"' if weight else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}"{bold}>{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dash: str) -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1}" y1="{y1:.1f}" x2="{x2}" y2="{y2:.1f}" stroke="{colour}"{dashed}/>'


def power(log_odds: float) -> str:
    """For people: `340:1`, or 1 in so many."""
    tens = log_odds / NATS
    if tens > 9:
        return "more than a billion to 1"
    return f"{10**tens:,.0f}:1" if tens >= 0 else f"1:{10**-tens:,.0f}"
