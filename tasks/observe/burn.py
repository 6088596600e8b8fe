"""May a rollout start now? The start gate on the service's own error budget. Pure.

Multi-window burn rates as in the SRE workbook, chapter 5: a budget that burns 14.4 times too fast over the last hour and
still does over the last five minutes (2 % of a month's budget), or 6 times over six hours and thirty minutes (5 %). A window
alone does not count: the long one says that it matters, the short one that it is not over.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from tasks.model import Decision, Sample
from tasks.observe.counting import totals
from tasks.service import ErrorObjective

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
PAGES: Final = ((14.4, HOUR, 300.0), (6.0, 6 * HOUR, 1800.0))
"""Burn, long window and short window in seconds."""
LONGEST_PAGE: Final = 6 * HOUR
FEWEST_REQUESTS: Final = 100  # in a window, before its share of failures says anything
FEWEST_FAILURES: Final = 5  # fewer are chance where little is asked, however small the budget is


class Start(Enum):
    """What the gate says. UNKNOWN: nothing, or too little, was seen of the service lately; UNREADABLE: who has seen it does
    not answer."""

    OPEN = "open"
    BURNING = "burning"
    UNKNOWN = "unknown"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Spent:
    """What users met in one window that ends now."""

    failures: int
    requests: int

    @property
    def known(self) -> bool:
        return self.requests >= FEWEST_REQUESTS

    def burns(self, errors: ErrorObjective, limit: float) -> bool:
        return self.known and self.failures >= FEWEST_FAILURES and self.burn(errors) >= limit

    def burn(self, errors: ErrorObjective) -> float:
        """How many times faster than allowed the budget is spent; 1 spends it exactly."""
        share = self.failures / max(self.requests, 1)
        return round(share / (1 - errors.objective), 9)  # 0.0144 / 0.001 is less than 14.4


def windows(errors: ErrorObjective) -> tuple[float, ...]:
    """Seconds of all windows that the gate looks at, the shortest first."""
    return tuple(sorted({*(seconds for _, *pair in PAGES for seconds in pair), _whole(errors)}))


def _whole(errors: ErrorObjective) -> float:
    return errors.window_days * DAY


def may_start(spent: Mapping[float, Spent], errors: ErrorObjective) -> Decision[Start]:
    """`spent` by window in seconds; those that nobody could tell are left out."""
    for limit, long, short in PAGES:
        pair = [spent.get(long), spent.get(short)]
        if all(one is not None and one.burns(errors, limit) for one in pair):
            return Decision(Start.BURNING, _burning(limit, long, short, spent, errors))
    whole = spent.get(_whole(errors))
    if whole is not None and whole.known and (left := 1 - whole.burn(errors)) <= errors.reserve:
        return Decision(
            Start.BURNING,
            f"{max(left, 0):.0%} of the error budget of {errors.window_days:g} days is left, and the last"
            f" {errors.reserve:.0%} are kept for emergencies ({whole.failures:,} of {whole.requests:,} requests failed,"
            f" {1 - errors.objective:.2%} may)",
        )
    if not any(one.known for one in spent.values()):
        return Decision(
            Start.UNKNOWN, "nothing was seen of it lately that an error budget follows from"
        )
    return Decision(Start.OPEN, _calm(spent, errors))


def _burning(
    limit: float, long: float, short: float, spent: Mapping[float, Spent], errors: ErrorObjective
) -> str:
    return (
        f"the service burns its error budget {spent[long].burn(errors):.1f} times too fast over the last"
        f" {_words(long)} and {spent[short].burn(errors):.1f} times over the last {_words(short)} ({limit:g} is the limit;"
        f" {spent[short].failures:,} of {spent[short].requests:,} requests failed): this is not the time to change things"
    )


def _calm(spent: Mapping[float, Spent], errors: ErrorObjective) -> str:
    seconds, found = min((seconds, one) for seconds, one in spent.items() if one.known)
    return (
        f"it burns {found.burn(errors):.1f} times its error budget over the last {_words(seconds)}"
    )


def _words(seconds: float) -> str:
    return f"{seconds / HOUR:g} h" if seconds >= HOUR else f"{seconds / 60:g} min"


def spent_of(
    samples: Sequence[Sample], groups: Collection[str], now: datetime, errors: ErrorObjective
) -> dict[float, Spent]:
    """From what was recorded of these groups. The whole budget cannot be told from it: nobody looks between rollouts."""
    found = {}
    for seconds in windows(errors)[:-1]:
        lately = [one for one in samples if one.at > now - timedelta(seconds=seconds)]
        traffic = totals(lately, groups)
        found[seconds] = Spent(traffic.failures, traffic.requests)
    return found
