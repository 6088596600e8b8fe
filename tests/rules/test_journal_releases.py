"""The fold over releases that wait."""

from dataclasses import replace
from datetime import timedelta

from tasks.journal.rules import ReleaseFinished, fold
from tasks.journal.waits import ReleaseWaits, Wait, WaitEnded, Waiting, WaitKind
from tasks.ports import Event
from tests.support.events import NOON, chained, line, release_started

WAIT = Wait(WaitKind.APPROVAL, "needs an approval", NOON + timedelta(hours=1), "run-1")
STARTED = line("r1", release_started(1), environment="")
WAITS = line("r1", ReleaseWaits(WAIT))


def waiting(*lines: Event) -> Waiting | None:
    return fold(chained(list(lines))).releases["hello", "r1"].waiting


def test_a_wait_told_again_by_another_run_keeps_its_beginning() -> None:
    again = line("r1", ReleaseWaits(replace(WAIT, flow_run="run-2")))
    found = waiting(STARTED, WAITS, again)
    begun, told = NOON + timedelta(seconds=2), NOON + timedelta(seconds=3)
    assert found == Waiting("prod", begun, replace(WAIT, flow_run="run-2"), told)


def test_another_wait_begins_anew() -> None:
    soak = Wait(WaitKind.SOAK, "staging soaks")
    found = waiting(STARTED, WAITS, line("r1", ReleaseWaits(soak)))
    begun = NOON + timedelta(seconds=3)
    assert found == Waiting("prod", begun, soak, begun)


def test_a_release_that_is_taken_up_again_waits_still() -> None:
    assert waiting(STARTED, WAITS, STARTED) == waiting(STARTED, WAITS)


def test_a_wait_ends_with_its_end_or_with_the_release() -> None:
    assert waiting(STARTED, WAITS, line("r1", WaitEnded(WaitKind.APPROVAL, "approved"))) is None
    assert waiting(STARTED, WAITS, line("r1", ReleaseFinished("stopped"), environment="")) is None
