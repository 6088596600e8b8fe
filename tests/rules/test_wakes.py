"""What is due for a release that waits."""

from datetime import datetime, timedelta

import pytest

from tasks.journal.answers import Answer
from tasks.journal.events import Approved, ReleaseFinished
from tasks.journal.waits import Rejected, ReleaseWaits, Wait, WaitKind
from tasks.journal.wakes import Due, due
from tests.support.events import NOON, line
from tests.support.passages import promoted, rolled_back, spec, started, state

LATER = NOON + timedelta(hours=1)
MUCH_LATER = NOON + timedelta(days=1)
YES = Answer(NOON, Approved("ada", "good", "form"))
NO = Answer(NOON, Rejected("ada", "bad", "form"))
APPROVAL = Wait(WaitKind.APPROVAL, "eu needs an approval", LATER)
SOAK = Wait(WaitKind.SOAK, "staging soaks", LATER)
LINE = Wait(WaitKind.LINE, "the line is stopped")
FREEZE = Wait(WaitKind.FREEZE, "the fair", LATER)
WINDOW = Wait(WaitKind.WINDOW, "nights only", LATER)


def decided(
    wait: Wait,
    now: datetime,
    answer: Answer | None = None,
    stands: bool = True,
    back: bool = False,
) -> Due:
    lines = [
        *promoted(1, "staging"),
        started(2, spec(staging={"soak_seconds": 3000})),
        *promoted(2, "staging"),
        *([rolled_back(1, "staging")] if back else []),
        line("r2", ReleaseWaits(wait), environment="eu"),
    ]
    found = state(*lines)
    return due(found.releases["hello", "r2"], answer, stands, found, now).answer


@pytest.mark.parametrize(
    ("answer", "now", "expected"),
    [
        (None, NOON, Due.NOTHING),
        (None, MUCH_LATER, Due.END),
        (YES, NOON, Due.GO_ON),
        (YES, MUCH_LATER, Due.GO_ON),
        (NO, NOON, Due.END),
    ],
)
def test_an_approval_is_due_when_it_is_answered_or_nobody_did(
    answer: Answer | None, now: datetime, expected: Due
) -> None:
    assert decided(APPROVAL, now, answer) is expected


def test_a_soak_is_due_when_it_is_over_and_ends_the_release_that_was_rolled_back_meanwhile() -> (
    None
):
    assert decided(SOAK, NOON) is Due.NOTHING
    assert decided(SOAK, LATER) is Due.GO_ON
    assert decided(SOAK, NOON, back=True) is Due.END


def test_a_window_is_due_when_it_opens_and_a_freeze_when_it_was_to_end_or_somebody_lifted_it() -> (
    None
):
    for wait in (WINDOW, FREEZE):
        assert decided(wait, NOON) is Due.NOTHING
        assert decided(wait, LATER) is Due.GO_ON, "if only to say until when it is now"
        assert decided(wait, NOON, stands=False) is Due.GO_ON


def test_a_stopped_line_is_due_when_somebody_resumed_it() -> None:
    assert decided(LINE, MUCH_LATER) is Due.NOTHING
    assert decided(LINE, NOON, stands=False) is Due.GO_ON


def test_nothing_is_due_for_a_release_that_has_ended() -> None:
    waits = line("r2", ReleaseWaits(APPROVAL), environment="eu")
    ended = line("r2", ReleaseFinished("stopped"), environment="")
    found = state(started(2, spec()), waits, ended)
    assert due(found.releases["hello", "r2"], YES, True, found, NOON).answer is Due.NOTHING
