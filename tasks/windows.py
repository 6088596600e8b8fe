"""When an environment may be changed: settings of its change windows and freezes, as service.yaml says them. Pure, validated."""

from collections.abc import Iterator
from datetime import date, time, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, Field, field_validator

from tasks.settings import Contradiction, Part

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MIDNIGHT: Final = "24:00"
_DAY: Final = f"({'|'.join(DAYS)})"

DaySpan = Annotated[
    str, Field(pattern=rf"^{_DAY}(\.\.{_DAY})?$", description="a day (sat) or days (mon..fri)")
]
ClockTime = Annotated[
    str,
    Field(
        pattern=rf"^(([01]\d|2[0-3]):[0-5]\d|{MIDNIGHT})$",
        description='hours and minutes in quotes, such as "09:00"',
    ),
]


def known_zone(name: str) -> str:
    """The name, if it is one of the IANA time zone database. ValueError."""
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:  # which of them depends on the name
        raise ValueError(
            f"found {name!r}; allowed: a name of the time zone database, such as Europe/Berlin or UTC"
        ) from error
    return name


class OpenHours(Part):
    """Hours of some days in which an environment may be changed. They may go over midnight: 22:00 to 06:00 begins on the
    days named."""

    model_config = ConfigDict(serialize_by_alias=True)

    days: tuple[DaySpan, ...] = Field(
        ("mon..fri",), min_length=1, description="on which it opens: mon..fri, or [sat, sun]"
    )
    from_: ClockTime = Field(alias="from", description="when it opens, by the clock on the wall")
    to: ClockTime = Field(
        description='when it closes; not above opens the next day; "24:00" is midnight'
    )

    def _contradictions(self) -> Iterator[Contradiction]:
        if self.from_ in (self.to, MIDNIGHT):
            yield ("from",), f'found {self.from_}; a whole day is from "00:00" to "{MIDNIGHT}"'

    @property
    def weekdays(self) -> frozenset[int]:
        """Monday is 0."""
        return frozenset(day for span in self.days for day in _weekdays(span))

    @property
    def opens(self) -> time:
        return time.fromisoformat(self.from_)

    @property
    def closes(self) -> time | None:
        """None: at midnight."""
        return None if self.to in (MIDNIGHT, "00:00") else time.fromisoformat(self.to)


def _weekdays(span: str) -> Iterator[int]:
    first, _, last = span.partition("..")
    begin, end = DAYS.index(first), DAYS.index(last or first)
    for step in range((end - begin) % 7 + 1):
        yield (begin + step) % 7


class ChangeWindows(Part):
    """When an environment may be changed. Outside, releases wait; roll-backs and repairs never do."""

    timezone: str = Field(description="whose clock counts: Europe/Berlin, America/New_York, UTC")
    open: tuple[OpenHours, ...] = Field(min_length=1, description="it is open in any of these")

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        return known_zone(value)


class Freeze(Part):
    """Days on which nothing new enters an environment. Roll-backs and repairs do."""

    model_config = ConfigDict(serialize_by_alias=True)

    from_: date = Field(alias="from", description="first day: 2026-12-20")
    to: date = Field(description="last day, all of it")
    reason: str = Field(min_length=3, description="why; shown to whoever waits")
    timezone: str | None = Field(
        None, description="whose days; default: the time zone of `windows`, else UTC"
    )

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        return known_zone(value) if value else value

    def _contradictions(self) -> Iterator[Contradiction]:
        if self.to < self.from_:
            yield ("to",), f"found {self.to}, before its first day {self.from_}"

    @property
    def ends(self) -> date:
        """The first day on which it is over."""
        return self.to + timedelta(days=1)
