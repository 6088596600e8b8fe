"""Is an environment open to changes now, and when is it next? Time zones, summer time and all. Pure: the moment is an argument.

What the clock on the wall shows decides: an hour that summer time skips opens nothing, an hour that comes twice is open twice.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from tasks.windows import ChangeWindows, Freeze, OpenHours

LONGEST: Final = timedelta(days=15)
"""A weekly window opens within so long, even if one of its days was skipped by a change of the clock."""
HOUR: Final = timedelta(hours=1)
MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class Closed:
    """Why nothing new may enter now. `until`: when that is over, in UTC; None: not in the time that was looked at."""

    reason: str
    until: datetime | None


# ---- freezes -------------------------------------------------------------------------------------


def frozen(
    freezes: Sequence[Freeze], now: datetime, windows: ChangeWindows | None = None
) -> Closed | None:
    """None if no freeze holds at `now`, an aware moment. Freezes that touch are one. `windows` may name their time zone."""
    if (first := frozen_by(freezes, now, windows)) is None:
        return None
    days = f"{first.from_}" if first.from_ == first.to else f"{first.from_} to {first.to}"
    at = now.astimezone(UTC)
    while (holding := frozen_by(freezes, at, windows)) is not None:
        at = start_of(holding.ends, _zone(holding, windows))
    return Closed(f"frozen {days}: {first.reason}", at)


def frozen_by(
    freezes: Iterable[Freeze], now: datetime, windows: ChangeWindows | None = None
) -> Freeze | None:
    """The freeze that holds at `now`: of several the one that ends last."""
    holding = [
        one for one in freezes if one.from_ <= now.astimezone(_zone(one, windows)).date() <= one.to
    ]
    return max(holding, key=lambda one: one.to, default=None)


def _zone(freeze: Freeze, windows: ChangeWindows | None) -> ZoneInfo:
    return ZoneInfo(freeze.timezone or (windows.timezone if windows else "UTC"))


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of a day there, in UTC: midnight, or what comes instead where the clock skips it."""
    skipped = datetime.combine(day, time(), zone).astimezone(UTC)
    earlier = datetime.combine(day, time(fold=1), zone).astimezone(UTC)
    moments = _steps(min(skipped, earlier), max(skipped, earlier), MINUTE)
    return next((at for at in moments if at.astimezone(zone).date() == day), skipped)


# ---- windows -------------------------------------------------------------------------------------


def shut(windows: ChangeWindows | None, now: datetime) -> Closed | None:
    """None if it is open at `now`, an aware moment, or always."""
    if windows is None or is_open(windows, now):
        return None
    return Closed(f"open only {window_words(windows)}", next_opening(windows, now))


def is_open(windows: ChangeWindows, now: datetime) -> bool:
    """By the clock on the wall of its time zone."""
    wall = now.astimezone(ZoneInfo(windows.timezone))
    return any(_is_within(one, wall) for one in windows.open)


def _is_within(hours: OpenHours, wall: datetime) -> bool:
    clock, today = wall.time().replace(fold=0), wall.weekday()
    opens, closes = hours.opens, hours.closes
    if closes is None or opens < closes:
        return today in hours.weekdays and opens <= clock and (closes is None or clock < closes)
    yesterday = (today - 1) % 7
    begun = today in hours.weekdays and opens <= clock
    return begun or (yesterday in hours.weekdays and clock < closes)


def next_opening(windows: ChangeWindows, now: datetime) -> datetime | None:
    """The first moment after `now` at which it is open and was not a moment before, in UTC. None: not within two weeks."""
    candidates = sorted({at for at in _candidates(windows, now) if at > now})
    return next((at for at in candidates if is_open(windows, at)), None)


def _candidates(windows: ChangeWindows, now: datetime) -> Iterator[datetime]:
    """Moments at which it may open: when the clock shows an hour at which it opens, and when the clock is changed."""
    zone = ZoneInfo(windows.timezone)
    yield from _changes(now.astimezone(UTC), zone)
    first = now.astimezone(zone).date()
    for number in range(LONGEST.days + 1):
        for one in windows.open:
            for fold in (0, 1):
                clock = one.opens.replace(fold=fold)
                day = first + timedelta(days=number)
                yield datetime.combine(day, clock, zone).astimezone(UTC)


def _changes(begin: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """When the clock is changed from then on, to the minute, in UTC."""
    for hour in _steps(begin.replace(minute=0, second=0, microsecond=0), begin + LONGEST, HOUR):
        if _offset(hour, zone) != _offset(hour + HOUR, zone):
            minutes = _steps(hour + MINUTE, hour + HOUR, MINUTE)
            yield from (at for at in minutes if _offset(at, zone) != _offset(at - MINUTE, zone))


def _offset(at: datetime, zone: ZoneInfo) -> timedelta | None:
    return at.astimezone(zone).utcoffset()


def _steps(begin: datetime, end: datetime, step: timedelta) -> Iterator[datetime]:
    while begin <= end:
        yield begin
        begin += step


def window_words(windows: ChangeWindows) -> str:
    """`mon..fri 09:00 to 16:00 (Europe/Berlin)`."""
    spans = (f"{', '.join(one.days)} {one.from_} to {one.to}" for one in windows.open)
    return f"{' and '.join(spans)} ({windows.timezone})"
