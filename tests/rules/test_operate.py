"""What is started again and when, and which runs are zombies: decided by numbers alone."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.operate.rules import (
    LONGEST_PAUSE_SECONDS,
    STARTING_SECONDS,
    STEADY_SECONDS,
    PartLife,
    Step,
    next_step,
    pause_seconds,
)
from tasks.operate.zombies import (
    GOING_ON,
    PENDING_GRACE_SECONDS,
    RUNNING_GRACE_SECONDS,
    RunSeen,
    zombies,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATIENCE = 30.0


def test_a_part_that_never_ran_is_started_at_once() -> None:
    assert next_step(PartLife(), False, None, PATIENCE, 0.0) is Step.START


def test_pauses_grow_and_end_growing() -> None:
    found = [pause_seconds(failures) for failures in range(12)]
    assert found[:5] == [0.0, 1.0, 2.0, 4.0, 8.0]
    assert found == sorted(found)
    assert found[-1] == LONGEST_PAUSE_SECONDS


@given(st.integers(1, 10_000))
def test_nobody_gives_up_on_a_part(failures: int) -> None:
    life = PartLife(0.0, 0.0, failures)
    assert next_step(life, False, None, PATIENCE, LONGEST_PAUSE_SECONDS) is Step.START


def test_a_part_that_ended_rests_first() -> None:
    life = PartLife().started(0.0).ended(1.0).started(3.0).ended(4.0)
    assert life.failures == 2
    assert next_step(life, False, None, PATIENCE, 5.0) is Step.NOTHING
    assert next_step(life, False, None, PATIENCE, 6.0) is Step.START


def test_whoever_lived_long_has_not_failed_at_its_start() -> None:
    life = PartLife(failures=7).started(0.0).ended(STEADY_SECONDS)
    assert life.failures == 1


def test_a_part_that_is_silent_too_long_is_replaced_but_not_while_it_starts() -> None:
    life = PartLife().started(0.0)
    early, late = STARTING_SECONDS - 1, STARTING_SECONDS + 1
    assert next_step(life, True, None, PATIENCE, early) is Step.NOTHING
    assert next_step(life, True, None, PATIENCE, late) is Step.REPLACE
    assert next_step(life, True, PATIENCE + 1, PATIENCE, late) is Step.REPLACE
    assert next_step(life, True, PATIENCE - 1, PATIENCE, late) is Step.NOTHING


def test_what_had_one_thing_to_do_and_did_it_is_left_alone() -> None:
    life = PartLife().started(0.0).finished()
    assert next_step(life, False, None, PATIENCE, 1e6) is Step.NOTHING


def test_restarts_are_counted_and_the_first_start_is_none() -> None:
    assert PartLife().started(0.0).restarts == 0
    assert PartLife().started(0.0).ended(1.0).started(2.0).restarts == 1


def seen(state: str, seconds_ago: float, run: str = "a") -> RunSeen:
    return RunSeen(run, f"run {run}", state, NOW - timedelta(seconds=seconds_ago))


@pytest.mark.parametrize("state", GOING_ON)
def test_a_run_that_nobody_holds_is_a_zombie(state: str) -> None:
    assert list(zombies([seen(state, 1e6)], set(), NOW)) == [seen(state, 1e6)]


@pytest.mark.parametrize("state", GOING_ON)
def test_a_run_that_somebody_holds_is_none_however_old(state: str) -> None:
    assert list(zombies([seen(state, 1e9)], {"a"}, NOW)) == []


@pytest.mark.parametrize("state", ["PAUSED", "SCHEDULED", "COMPLETED", "CRASHED", "CANCELLED"])
def test_a_run_that_waits_or_has_ended_is_none(state: str) -> None:
    """A suspended run is PAUSED to Prefect: it may wait for an approval for days."""
    assert list(zombies([seen(state, 1e9)], set(), NOW)) == []


def test_a_run_that_has_just_begun_has_its_time() -> None:
    young = [
        seen("RUNNING", RUNNING_GRACE_SECONDS - 1, "a"),
        seen("PENDING", PENDING_GRACE_SECONDS - 1, "b"),
    ]
    assert list(zombies(young, set(), NOW)) == []
