"""A run is held in the journal while it is done, by one process at a time."""

import threading
import time
import uuid

import pytest

from flows.runs import doing, forget_runs, is_done_by_somebody
from tasks import platforms
from tasks.errors import LeaseHeldError
from tasks.journal.events import EVERY_SERVICE


def test_a_run_is_held_as_long_as_it_is_done() -> None:
    run = uuid.uuid4().hex
    assert not is_done_by_somebody(run)
    with doing(run):
        assert is_done_by_somebody(run)
    assert not is_done_by_somebody(run)


def test_a_second_process_leaves_it_alone() -> None:
    run = uuid.uuid4().hex
    with doing(run), pytest.raises(LeaseHeldError), doing(run):
        pytest.fail("two would do the same run")
    assert not is_done_by_somebody(run)


def test_whoever_wakes_it_waits_for_the_process_that_is_just_going() -> None:
    run, woken = uuid.uuid4().hex, threading.Event()
    with doing(run):
        second = threading.Thread(target=_do, args=(run, woken))
        second.start()
        assert not woken.wait(0.5)
    second.join(10.0)
    assert woken.is_set()


def test_runs_that_nobody_has_done_for_long_are_forgotten_and_one_that_goes_on_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flows.runs.FREE_SECONDS", 0.0)
    monkeypatch.setattr("flows.runs.FORGET_EVERY_SECONDS", 0.0)
    ended, going_on = uuid.uuid4().hex, uuid.uuid4().hex
    with doing(ended):
        pass
    time.sleep(0.01)
    with doing(going_on):
        assert list(forget_runs()) == []
        assert is_done_by_somebody(going_on)
    lease = platforms.journal().acquire(EVERY_SERVICE, f"run {ended}", "a test", 0.0)
    assert lease.token > 1, "nobody gets the token again"


def _do(run: str, done: threading.Event) -> None:
    with doing(run, 10.0):
        done.set()
