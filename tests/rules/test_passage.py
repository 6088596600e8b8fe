"""What a release must have shown in one environment before it enters the next."""

from datetime import timedelta

from tasks.journal.events import ReleaseFinished
from tasks.journal.passage import newer_than, soak, superseded
from tasks.journal.waits import Wait, WaitKind
from tasks.model import Judgement, Verdict
from tests.support.events import NOON, line
from tests.support.passages import promoted, rolled_back, spec, started, state

HOUR = {"soak_seconds": 3600}
END = NOON + timedelta(minutes=2, hours=1)


def test_it_soaks_from_its_promotion_until_it_was_in_use_for_long_enough() -> None:
    found = state(started(2, spec(staging=HOUR)), *promoted(2, "staging"))
    told = found.releases["hello", "r2"]
    for place in ("eu", "us"):
        wait = soak(found, told, place, NOON + timedelta(minutes=30))
        assert isinstance(wait, Wait)
        assert (wait.kind, wait.until) == (WaitKind.SOAK, END)
        done = soak(found, told, place, END)
        assert isinstance(done, Judgement)
        assert done.verdict is Verdict.PROMOTE


def test_the_first_environment_waits_for_none_before_it() -> None:
    found = state(started(2, spec(staging=HOUR)))
    done = soak(found, found.releases["hello", "r2"], "staging", NOON)
    assert isinstance(done, Judgement)
    assert done.verdict is Verdict.PROMOTE


def test_a_roll_back_meanwhile_ends_it_however_long_it_soaked() -> None:
    lines = [*promoted(1, "staging"), started(2, spec(staging=HOUR)), *promoted(2, "staging")]
    found = state(*lines, rolled_back(1, "staging"))
    ended = soak(found, found.releases["hello", "r2"], "eu", END + timedelta(days=1))
    assert isinstance(ended, Judgement)
    assert ended.verdict is Verdict.INCONCLUSIVE
    assert "r2 does not serve in staging any more" in ended.reason
    assert "rolled back to r1: slow" in ended.reason


def test_members_of_a_wave_do_not_wait_for_each_other() -> None:
    two = spec(staging={}, eu=HOUR)
    found = state(started(2, two), *promoted(2, "staging"), *promoted(2, "eu"))
    assert isinstance(soak(found, found.releases["hello", "r2"], "us", END), Judgement)
    assert [one.name for one in two.before("us")] == ["staging"]


def test_a_newer_release_supersedes_every_older_one_that_has_not_ended() -> None:
    ended = line("r1", ReleaseFinished("promoted"), environment="")
    found = state(*(started(number, spec()) for number in (1, 2, 3, 10)), ended)
    assert [one.id for one in superseded(found, "hello", "r10")] == ["r2", "r3"]
    assert list(superseded(found, "hello", "r2")) == []
    assert list(superseded(found, "other", "r11")) == []


def test_what_is_older_than_what_serves_would_go_back() -> None:
    found = state(started(1, spec()), started(2, spec()), *promoted(2, "eu"))
    places = spec().environments
    assert newer_than(found, found.releases["hello", "r1"], places) == ("eu", "r2")
    assert newer_than(found, found.releases["hello", "r2"], places) is None
    assert newer_than(found, found.releases["hello", "r1"], places[:1]) is None
