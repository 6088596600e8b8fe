"""Leases on what has long ended are forgotten, and no token is given twice: a late writer stays late."""

import time

import pytest

from tasks.errors import LateWriterError
from tasks.ports import Journal
from tests.adapters.test_journal import ELSEWHERE, journal, postgres, url

__all__ = ["journal", "postgres", "url"]


def test_leases_that_are_forgotten_never_give_a_token_twice(journal: Journal) -> None:
    late = journal.acquire("", "run 1", ELSEWHERE, 0.0)
    for _ in range(3):
        journal.release(journal.acquire("", "run 2", ELSEWHERE, 30))
    held = journal.acquire("", "run 3", ELSEWHERE, 30)
    other = journal.acquire("", "runner", ELSEWHERE, 0.0)
    assert journal.forget_leases("", "run ", 60) == 0, "nobody has held them for a moment only"
    time.sleep(0.01)
    assert journal.forget_leases("", "run ", 0) == 2

    assert journal.holder("", "run 3") == held
    assert journal.renew(other, 30).token == other.token, "its name only looks alike"
    with pytest.raises(LateWriterError, match="does not know"):
        journal.renew(late, 30)
    new = [journal.acquire("", f"run {number}", ELSEWHERE, 30) for number in (1, 2, 4)]
    assert [lease.token for lease in new] == [4, 4, 4]
    with pytest.raises(LateWriterError):
        journal.append("x", service="", environment="run 1", lease=late)
    journal.release(late)
    assert journal.holder("", "run 1") == new[0], "whoever comes late takes nothing away"


def test_the_highest_token_that_was_forgotten_stays_known(journal: Journal) -> None:
    for _ in range(3):
        journal.release(journal.acquire("", "run 1", ELSEWHERE, 30))
    for place in ("run 1", "run 2"):  # the second has a lower one
        journal.release(journal.acquire("", place, ELSEWHERE, 30))
        time.sleep(0.01)
        assert journal.forget_leases("", "run ", 0) == 1
    assert journal.acquire("", "run 1", ELSEWHERE, 30).token == 6
