"""Change windows and freezes by the clock on the wall: time zones, summer time, midnight."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.openings import frozen, frozen_by, is_open, next_opening, shut, start_of
from tasks.service import EnvironmentSpec
from tasks.windows import ChangeWindows, Freeze

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana")
OFFICE = {"days": ["mon..fri"], "from": "09:00", "to": "16:00"}


def windows(*hours: dict[str, Any], zone: str = "Europe/Berlin") -> ChangeWindows:
    return ChangeWindows.model_validate({"timezone": zone, "open": list(hours)})


def freeze(first: str, last: str, **more: str) -> Freeze:
    told = {"from": first, "to": last, "reason": "year's end", **more}
    return Freeze.model_validate(told)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        (utc(2026, 3, 2, 8, 0), None),  # Monday 09:00 in winter
        (utc(2026, 3, 2, 7, 59), utc(2026, 3, 2, 8, 0)),
        (utc(2026, 3, 2, 15, 0), utc(2026, 3, 3, 8, 0)),  # closes at 16:00 sharp
        (utc(2026, 3, 27, 15, 0), utc(2026, 3, 30, 7, 0)),  # over the weekend, and into summer time
    ],
)
def test_office_hours_follow_the_clock_on_the_wall(at: datetime, opens: datetime | None) -> None:
    office = windows(OFFICE)
    assert is_open(office, at) == (opens is None)
    found = shut(office, at)
    assert (found.until if found else None) == opens


def test_a_night_that_goes_over_midnight_begins_on_the_days_named() -> None:
    night = windows({"days": ["fri"], "from": "22:00", "to": "06:00"}, zone="UTC")
    assert is_open(night, utc(2026, 3, 6, 22)), "Friday night"
    assert is_open(night, utc(2026, 3, 7, 5, 59)), "Saturday morning"
    assert not is_open(night, utc(2026, 3, 6, 5)), "Friday morning"
    assert not is_open(night, utc(2026, 3, 7, 22)), "Saturday night"


def test_an_hour_that_summer_time_skips_opens_at_the_change() -> None:
    """In Berlin 02:00 to 03:00 do not exist on 29 March 2026."""
    early = windows({"days": ["sun"], "from": "02:30", "to": "04:00"})
    assert next_opening(early, utc(2026, 3, 29, 0)) == utc(2026, 3, 29, 1), "03:00 on the wall"
    gone = windows({"days": ["sun"], "from": "02:10", "to": "02:50"})
    assert next_opening(gone, utc(2026, 3, 29, 0)) == utc(2026, 4, 5, 0, 10), "a week later"


def test_an_hour_that_comes_twice_is_open_twice() -> None:
    """In Berlin 02:00 to 03:00 come twice on 25 October 2026."""
    early = windows({"days": ["sun"], "from": "01:00", "to": "02:30"})
    assert is_open(early, utc(2026, 10, 25, 0, 29)), "02:29, summer time"
    assert not is_open(early, utc(2026, 10, 25, 0, 30))
    assert next_opening(early, utc(2026, 10, 25, 0, 30)) == utc(2026, 10, 25, 1), "02:00 again"


def test_a_freeze_lasts_to_the_end_of_its_last_day_there() -> None:
    office, holidays = windows(OFFICE), freeze("2026-12-20", "2027-01-03")
    found = frozen([holidays], utc(2026, 12, 21, 10), office)
    assert found is not None
    assert "year's end" in found.reason
    assert found.until == utc(2027, 1, 3, 23), "midnight in Berlin, whose clock the windows have"
    last = utc(2027, 1, 3, 22, 59)
    assert frozen_by([holidays], last, office) == holidays
    assert frozen_by([holidays], last + timedelta(minutes=1), office) is None


def test_freezes_that_touch_are_one_wait() -> None:
    both = [freeze("2026-12-20", "2026-12-25"), freeze("2026-12-26", "2026-12-31")]
    found = frozen(both, utc(2026, 12, 20))
    assert found is not None
    assert found.until == utc(2027, 1, 1)


def test_a_day_whose_midnight_is_skipped_begins_when_the_clock_goes_on() -> None:
    """In Havana the clock went from 00:00 to 01:00 on 8 March 2026."""
    from zoneinfo import ZoneInfo

    begun = start_of(date(2026, 3, 8), ZoneInfo("America/Havana"))
    assert begun == utc(2026, 3, 8, 5)


clock = st.integers(0, 47).map(lambda half: f"{half // 2:02}:{half % 2 * 30:02}")
some_hours = st.fixed_dictionaries(
    {
        "days": st.lists(
            st.sampled_from(["mon..fri", "sat", "sun", "fri..mon", "wed"]), min_size=1
        ),
        "from": clock,
        "to": clock,
    }
).filter(lambda hours: hours["from"] != hours["to"])
changes = (utc(2026, 3, 29, 1), utc(2026, 10, 25, 1), utc(2026, 3, 8, 7), utc(2026, 11, 1, 6))
moments = st.one_of(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    st.builds(
        lambda at, minutes: at + timedelta(minutes=minutes),
        st.sampled_from(changes),
        st.integers(-3000, 3000),
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(some_hours, min_size=1, max_size=2), st.sampled_from(ZONES), moments, st.data())
def test_it_opens_when_it_says_and_not_before(
    hours: list[dict[str, Any]], zone: str, now: datetime, data: st.DataObject
) -> None:
    chosen = windows(*hours, zone=zone)
    found = shut(chosen, now)
    if found is None:
        assert is_open(chosen, now)
        return
    assert found.until is not None
    assert is_open(chosen, found.until)
    assert not is_open(chosen, found.until - timedelta(seconds=1))
    minutes = int((found.until - now).total_seconds() // 60)
    for after in data.draw(st.lists(st.integers(0, max(0, minutes - 1)), max_size=40)):
        assert not is_open(chosen, now + timedelta(minutes=after))


@settings(max_examples=60, deadline=None)
@given(
    moments,
    st.sampled_from(ZONES),
    st.dates(date(2026, 1, 1), date(2027, 6, 1)),
    st.integers(0, 20),
)
def test_a_freeze_is_over_when_it_says(now: datetime, zone: str, first: date, days: int) -> None:
    holidays = freeze(str(first), str(first + timedelta(days=days)), timezone=zone)
    found = frozen([holidays], now)
    if found is None:
        assert frozen_by([holidays], now) is None
        return
    assert found.until is not None
    assert frozen_by([holidays], found.until) is None
    assert frozen_by([holidays], found.until - timedelta(seconds=1)) == holidays


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"windows": {"timezone": "Europe/Bonn", "open": [OFFICE]}}, "time zone database"),
        ({"windows": {"timezone": "../etc", "open": [OFFICE]}}, "time zone database"),
        ({"windows": {"timezone": "UTC", "open": [{**OFFICE, "days": ["monday"]}]}}, "days"),
        ({"windows": {"timezone": "UTC", "open": [{**OFFICE, "to": "9:00"}]}}, "to"),
        ({"windows": {"timezone": "UTC", "open": [{**OFFICE, "to": "09:00"}]}}, "whole day"),
        ({"freezes": [{"from": "2026-12-20", "to": "2026-12-19", "reason": "end"}]}, "before its"),
        ({"freezes": [{"from": "2026-12-20", "to": "2026-12-24"}]}, "reason"),
    ],
)
def test_what_nobody_could_keep_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        EnvironmentSpec.model_validate({"name": "production", "platform": "memory", **wrong})


def test_windows_and_freezes_survive_the_journal() -> None:
    told = {"windows": windows(OFFICE), "freezes": (freeze("2026-12-20", "2027-01-03"),)}
    spec = EnvironmentSpec.model_validate({"name": "production", "platform": "memory", **told})
    assert EnvironmentSpec.model_validate(spec.model_dump(mode="json")) == spec
