"""A run is held in the journal while it is done, by one process at a time."""

import threading
import uuid

import pytest

from flows.runs import doing, is_done_by_somebody
from tasks.errors import LeaseHeldError


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


def _do(run: str, done: threading.Event) -> None:
    with doing(run, 10.0):
        done.set()
