"""The chain: no line can be changed, removed, added or moved without being noticed (except at the very end)."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from tasks.chain import FIRST, canonical, hash_of, moment
from tasks.journal.rules import verify_chain
from tasks.ports import Event
from tests.support.events import chained

words = st.text(max_size=8)
json_values: st.SearchStrategy[JsonValue] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
lines = st.builds(
    Event,
    sequence=st.just(0),
    at=moments,
    kind=words,
    service=words,
    environment=words,
    release=words,
    body=st.dictionaries(words, json_values, max_size=3),
    token=st.integers(0, 99),
    previous=st.just(""),
    hash=st.just(""),
)
chains = st.lists(lines, min_size=1, max_size=6).map(chained)
CHANGES = (
    "sequence",
    "at",
    "kind",
    "service",
    "environment",
    "release",
    "body",
    "token",
    "previous",
    "hash",
)


@given(chains)
def test_a_chain_that_nobody_touched_holds(events: Sequence[Event]) -> None:
    assert verify_chain(events) is None
    assert verify_chain(events[:-1]) is None  # what it cannot see, as its docstring says


def test_an_empty_chain_holds() -> None:
    assert verify_chain([]) is None


@pytest.mark.parametrize("name", CHANGES)
@given(data=st.data())
def test_any_change_of_any_field_is_found_at_its_line(name: str, data: st.DataObject) -> None:
    events = data.draw(chains)
    place = data.draw(st.integers(0, len(events) - 1))
    changed = replace(events[place], **{name: _other(data, name, events[place])})

    broken = verify_chain([*events[:place], changed, *events[place + 1 :]])

    assert broken is not None
    assert broken.sequence == place + 1
    assert broken.problem


def _other(data: st.DataObject, name: str, line: Event) -> Any:
    old = getattr(line, name)
    match old:
        case int():
            return data.draw(st.integers(0, 200).filter(lambda new: new != old))
        case str():
            return data.draw(words.filter(lambda new: new != old))
        case datetime():
            return old + timedelta(microseconds=data.draw(st.integers(1, 10**9)))
        case _:
            same = canonical(old)
            new = st.dictionaries(words, json_values, max_size=3)
            return data.draw(new.filter(lambda body: canonical(body) != same))


@given(chains, st.data())
def test_a_change_whose_own_hash_was_computed_anew_is_found_at_the_next_line(
    events: Sequence[Event], data: st.DataObject
) -> None:
    if len(events) < 2:
        return
    place = data.draw(st.integers(0, len(events) - 2))
    forged = replace(events[place], token=events[place].token + 1)
    forged = replace(forged, hash=hash_of(forged))
    broken = verify_chain([*events[:place], forged, *events[place + 1 :]])
    assert broken is not None
    assert (broken.sequence, "replaced" in broken.problem) == (place + 2, True)


@given(chains, st.data())
def test_a_removed_line_is_found_unless_it_was_the_last(
    events: Sequence[Event], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(events) - 1))
    broken = verify_chain([*events[:place], *events[place + 1 :]])
    if place == len(events) - 1:
        assert broken is None
    else:
        assert broken is not None
        assert (broken.sequence, "removed" in broken.problem) == (place + 1, True)


@given(chains, st.data())
def test_removed_lines_are_found_even_if_the_rest_was_numbered_anew(
    events: Sequence[Event], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(events) - 1))
    rest = [*events[:place], *events[place + 1 :]]
    renumbered = [replace(line, sequence=number) for number, line in enumerate(rest, start=1)]
    assert (verify_chain(renumbered) is None) == (place == len(events) - 1)


@given(chains, st.data())
def test_lines_that_changed_places_are_found(events: Sequence[Event], data: st.DataObject) -> None:
    if len(events) < 2:
        return
    one, other = sorted(
        data.draw(st.lists(st.integers(0, len(events) - 1), min_size=2, max_size=2, unique=True))
    )
    moved = list(events)
    moved[one], moved[other] = moved[other], moved[one]
    broken = verify_chain(moved)
    assert broken is not None
    assert broken.sequence == one + 1


@given(chains, lines, st.data())
def test_an_added_line_is_found(events: Sequence[Event], added: Event, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(events) - 1))
    forged = replace(added, sequence=place + 1, previous=events[place - 1].hash if place else FIRST)
    forged = replace(forged, hash=hash_of(forged))
    if forged.hash == events[place].hash:
        return
    broken = verify_chain([*events[:place], forged, *events[place:]])
    assert broken is not None
    assert broken.sequence == place + 2


@given(moments, st.integers(-14 * 60, 14 * 60))
def test_one_moment_has_one_spelling_that_sorts_and_reads_back(at: datetime, minutes: int) -> None:
    elsewhere = at.astimezone(timezone(timedelta(minutes=minutes)))
    assert moment(elsewhere) == moment(at)
    assert datetime.fromisoformat(moment(at)) == at
    assert (moment(at) < moment(at + timedelta(microseconds=1))) is True


def test_the_hash_is_the_documented_one() -> None:
    """Other programs may verify a journal: this spelling must never change."""
    at = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
    body: dict[str, JsonValue] = {"b": 1.5, "a": ["é", None]}
    line = Event(1, at, "healed", "hello", "prod", "r1", body, 3, FIRST, "")
    written = (
        '{"at":"2026-03-01T12:00:00.000005+00:00","body":{"a":["\\u00e9",null],"b":1.5},"environment":"prod",'
        f'"kind":"healed","previous":"{"0" * 64}","release":"r1","sequence":1,"service":"hello","token":3}}'
    )
    assert hash_of(line) == hashlib.sha256(written.encode()).hexdigest()
