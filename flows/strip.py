"""The picture of a rollout for terminals: one line per moment, 80 columns, readable without any colour."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flows.bins import Bin, allowed_share, bins, ended, stacked, who
from flows.course import Course
from flows.words import count, duration, one_line, percent
from tasks.model import Role

BAR: Final = 36
MOST_LINES: Final = 14
MARKS: Final = {
    Role.CANARY: ("█", "#", "dark_orange3"),
    Role.BASELINE: ("▒", "+", "deep_sky_blue1"),
    Role.STABLE: ("░", ".", "dodger_blue2"),
    Role.WARM: ("·", " ", "grey50"),
}
LEVELS: Final = " ▁▂▃▄▅▆▇█"


def strip(course: Course, ascii_only: bool = False) -> RenderableType:
    """Who answered, as a stacked bar per moment, beside the share of failed requests of the new group and of the others."""
    every = bins(course, MOST_LINES)
    found = every[-MOST_LINES:]  # there are more where the view was lost and found again and again
    if not found:
        return Text(f"{course.name} {ended(course)}; no traffic was observed")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("after", justify="right")
    table.add_column("share of the requests", width=BAR, no_wrap=True)
    table.add_column(course.release, justify="right")
    table.add_column(f"{course.release} failed", justify="right")
    table.add_column("others", justify="right")
    for one in found:
        table.add_row(*_row(course, one, ascii_only))
    return Group(
        Text(f"{course.name}: {ended(course)}", style="bold"),
        _legend(course, ascii_only),
        table,
        *_earlier(every[:-MOST_LINES]),
        Text(_sparkline(course, found, ascii_only)),
    )


def _earlier(left_out: Sequence[Bin]) -> Iterable[Text]:
    if left_out:
        yield Text(f"{count(len(left_out), 'earlier moment')} not shown", style="dim")


def _row(course: Course, one: Bin, ascii_only: bool) -> Iterable[Text]:
    yield Text(duration(one.end))
    if one.unseen:
        yield Text(one_line(f"not seen: {one.unseen}")[:BAR], style="italic")
        yield from (Text("?"), Text("?"), Text("?"))
        return
    yield _bar(course, one, ascii_only)
    yield Text(percent(one.share(course.release)))
    allowed = allowed_share(course) or 0.0
    mine = one.failed({course.release})
    bad = mine is not None and mine > allowed
    yield Text(_failed(mine) + ("!" if bad else " "), style="bold red" if bad else "")
    yield Text(_failed(one.failed(one.traffic.keys() - {course.release})))


def _failed(share: float | None) -> str:
    """Who answered nothing did not answer well."""
    return "-" if share is None else percent(share)


def _bar(course: Course, one: Bin, ascii_only: bool) -> Text:
    """Whoever got anything at all is seen: at least one mark."""
    groups = [group for group in stacked(course) if one.traffic[group].requests]
    widths = _widths([one.share(group) for group in groups])
    bar = Text()
    for group, width in zip(groups, widths, strict=True):
        fancy, plain, colour = MARKS[course.role(group)]
        bar.append((plain if ascii_only else fancy) * width, style=colour)
    return bar


def _widths(shares: Sequence[float]) -> list[int]:
    """Whole marks that sum to BAR; the largest share pays for rounding."""
    widths = [max(1, round(share * BAR)) for share in shares]
    if widths:
        widths[widths.index(max(widths))] += BAR - sum(widths)
    return widths


def _legend(course: Course, ascii_only: bool) -> Text:
    words = Text()
    for group in stacked(course):
        fancy, plain, colour = MARKS[course.role(group)]
        words.append((plain if ascii_only else fancy) * 2, style=colour)
        words.append(f" {who(course, group)}   ")
    return words


def _sparkline(course: Course, found: Sequence[Bin], ascii_only: bool) -> str:
    shares = [None if one.unseen else one.failed({course.release}) for one in found]
    most = max((share for share in shares if share is not None), default=0.0)
    allowed = allowed_share(course)
    limit = f", {percent(allowed)} allowed" if allowed is not None else ""
    if ascii_only:
        return f"{course.release} failed: at most {percent(most)}{limit}"
    line = "".join(_level(share, most) for share in shares)
    return f"{course.release} failed over time: |{line}| at most {percent(most)}{limit}"


def _level(share: float | None, most: float) -> str:
    if share is None:
        return "?"
    return LEVELS[0 if not share else max(1, round(share / most * 8))]
