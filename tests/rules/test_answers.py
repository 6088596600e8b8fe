"""What people answered, and until when it counts."""

from datetime import timedelta

from tasks.journal.answers import Answer, answer_of, judged
from tasks.journal.events import Approved, ReleaseFinished
from tasks.journal.waits import Rejected
from tasks.model import Judgement, Verdict
from tests.support.events import NOON, chained, line

YES = Approved("ada", "it is good", "form")
NO = Rejected("bob", "not on a Friday", "command line")
UNTIL = NOON + timedelta(hours=1)


def test_the_newest_answer_for_this_release_and_environment_counts() -> None:
    lines = chained([line("r1", YES), line("r1", NO), line("r2", YES)])
    assert answer_of(lines, "r1", "prod") == Answer(lines[1].at, NO)
    assert answer_of(lines, "r1", "staging") is None
    assert answer_of(lines, "r3", "prod") is None


def test_what_was_said_before_a_release_ended_is_not_said_of_its_next_try() -> None:
    ended = line("r1", ReleaseFinished("stopped"), environment="")
    assert answer_of(chained([line("r1", YES), ended]), "r1", "prod") is None
    again = chained([line("r1", NO), ended, line("r1", YES)])
    assert answer_of(again, "r1", "prod") == Answer(again[2].at, YES)


def test_an_approval_in_time_lets_it_in_whenever_it_is_read() -> None:
    late = NOON + timedelta(days=3)
    found = judged(Answer(NOON, YES), UNTIL, 3600, late)
    assert found == Judgement(Verdict.PROMOTE, "approved by ada (form): it is good")


def test_a_late_approval_is_silence_and_silence_ends_it_without_a_word_about_the_artifact() -> None:
    late = NOON + timedelta(hours=2)
    silence = Judgement(Verdict.INCONCLUSIVE, "nobody approved it within 3600 s")
    assert judged(Answer(late, YES), UNTIL, 3600, late) == silence
    assert judged(None, UNTIL, 3600, UNTIL) == silence
    assert judged(None, UNTIL, 3600, NOON) is None


def test_a_rejection_is_inconclusive_with_who_and_why() -> None:
    found = judged(Answer(NOON, NO), UNTIL, 3600, NOON)
    words = "rejected by bob (command line): not on a Friday"
    assert found == Judgement(Verdict.INCONCLUSIVE, words)
