"""Fifty services on three bases, of which one moved, and a package that has a fix: exactly the affected, in order, the rest not."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from flows.rebuild import rebuild
from flows.staleness import planned
from tasks import platforms
from tasks.journal.rebuilds import RebuildDone, RebuildPlanned
from tasks.journal.rules import EventKind, ReleaseFinished, ReleaseStarted, body_of
from tasks.ports import Event
from tasks.stale import Rebuilt
from tests.support.evidence import cheap_keys
from tests.support.many import FETCHING, LOCKED, Many, as_in_memory, fifty
from tests.support.standing import base_of, released

AT_ONCE = 3
EVERY = 9
DIES_AFTER = 3


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Many]:
    monkeypatch.setenv("BAKEWELL_HOME", str(tmp_path / "home"))
    as_in_memory(monkeypatch, tmp_path)
    with cheap_keys():
        yield fifty(tmp_path, EVERY)


def test_exactly_the_affected_are_rebuilt_in_order_although_it_is_killed_in_the_middle(
    many: Many,
) -> None:
    moved = many.move_a_base_and_mend_a_package()
    plan = planned()
    assert {one.service for one in plan.stale} == many.affected
    assert [note.partition(":")[0] for note in plan.notes] == list(LOCKED)
    first = len(platforms.journal().events())
    assert killed(many) == -signal.SIGKILL
    until_killed = platforms.journal().events()[first:]
    interrupted = done_in(until_killed)
    assert DIES_AFTER <= len(interrupted) < len(many.affected)

    done = rebuild(at_once=AT_ONCE)

    events = platforms.journal().events()[first:]
    assert sum(event.kind == EventKind.REBUILD_PLANNED for event in events) == 1
    notes = [f"{name}: {one.note}" for name, one in done.done.items()]
    assert done.outcomes == dict.fromkeys(many.affected, Rebuilt.PATCHED), "\n".join(notes)
    assert len(done_in(events)) == len(many.affected), "nobody was done twice"
    assert {event.service for event in events if event.service} == many.affected
    assert at_once(until_killed) <= AT_ONCE
    assert at_once(events[len(until_killed) :]) <= AT_ONCE
    assert_parents_came_first(events)
    assert {base_of(released(name)) for name in ("s00", "s09", "s36")} == {moved}
    assert base_of(released("s49")) == released("s48").digest
    assert [done.done[name].fixed for name in FETCHING] == [("CVE-2026-leaky",)] * 2
    assert planned().stale == ()


def killed(many: Many) -> int:
    """Begin it in a process of its own, which dies after some of them. The scanner there knows of no vulnerability: what is
    fetched was planned by then, and is told by the stored scans."""
    environment = {**os.environ, "BAKEWELL_HOME": str(platforms.home())}
    command = [sys.executable, "-m", "tests.support.many", str(many.folder), str(DIES_AFTER)]
    return subprocess.run(
        [*command, str(AT_ONCE)], check=False, env=environment, timeout=120
    ).returncode


def done_in(events: Sequence[Event]) -> list[str]:
    return [one.service for one in events if isinstance(body_of(one), RebuildDone)]


def at_once(events: Sequence[Event]) -> int:
    """How many releases were going on at the same time, at most, in one process. Of those that were killed none goes on
    until it is taken up again, which its release says by another line."""
    running: set[str] = set()
    most = 0
    for event in events:
        match body_of(event):
            case ReleaseStarted():
                running.add(event.service)
            case ReleaseFinished():
                running.remove(event.service)
        most = max(most, len(running))
    return most


def assert_parents_came_first(events: Sequence[Event]) -> None:
    (plan,) = [body for one in events if isinstance(body := body_of(one), RebuildPlanned)]
    after = {one.service: one.after for one in plan.stale}
    assert after["s49"] == ("s09", "s48")
    done: set[str] = set()
    for event in events:
        if isinstance(body_of(event), ReleaseStarted):
            assert set(after[event.service]) <= done, f"{event.service} came before its parents"
        if isinstance(body_of(event), RebuildDone):
            done.add(event.service)
