"""What people are told of the journal's lines, whom, and how often."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flows.notices import notices
from tasks.evidence import Quarantine, QuarantineKind
from tasks.journal.events import (
    Body,
    Bypassed,
    DriftFound,
    DriftLeft,
    Promoted,
    Quarantined,
    ReleaseFinished,
    RolledBack,
    RolloutStarted,
    Sampled,
    Withdrawn,
)
from tasks.journal.line import LineResumed, LineStopped
from tasks.journal.pushes import PushDropped
from tasks.journal.rebuilds import RebuildDone, RebuildFinished
from tasks.journal.waits import ReleaseWaits, Wait, WaitKind
from tasks.model import Verdict
from tasks.notices import Level, Notice, NotifySettings, Target
from tasks.notify.rules import MOST_AT_ONCE, due, retry_seconds
from tasks.stale import Rebuilt
from tests.support.drifting import drift
from tests.support.events import NOON, PROD, artifact, chained, deployed, line, sample

ALL = Target(name="all", variable="URL")
WAITS = ReleaseWaits(Wait(WaitKind.APPROVAL, "it needs one"))


def told(*bodies: Body, release: str = "r1") -> tuple[Notice, ...]:
    """Lines of release r1 of hello in prod."""
    links = {("hello", release): "https://ui/run"}
    return notices(chained(line(release, body) for body in bodies), links)


def notice(number: int, level: Level = Level.INFO, service: str = "hello") -> Notice:
    return Notice(number, f"key {number}", level, f"title {number}", "text", service)


@pytest.mark.parametrize(
    ("body", "level", "words"),
    [
        (ReleaseFinished("promoted in prod"), Level.INFO, "hello r1 is promoted in prod"),
        (ReleaseFinished("stopped: it burns"), Level.WARNING, "hello r1 stopped: it burns"),
        (RolledBack(deployed(2), "slow", "ada"), Level.ALARM, "rolled back to r2 by ada: slow"),
        (Withdrawn(None, "its process ended"), Level.WARNING, "withdrawn from prod: its process"),
        (WAITS, Level.WARNING, "hello r1 waits for approval in prod"),
        (ReleaseWaits(Wait(WaitKind.FREEZE, "fair")), Level.INFO, "waits for freeze in prod: fair"),
        (DriftFound((drift(),)), Level.WARNING, "hello in prod has drifted: 1 difference"),
        (DriftLeft(drift(), 3, NOON), Level.ALARM, "healed 3 times and back again"),
        (LineStopped("smoke", "ada"), Level.ALARM, "the line was stopped by ada: smoke"),
        (LineResumed("gone", "ada"), Level.WARNING, "the line was resumed by ada: gone"),
        (Bypassed("window", "closed", "now", "ada"), Level.WARNING, "goes past window of prod"),
        (RebuildFinished("rebuild-1", "1 patched"), Level.INFO, "rebuild-1 finished: 1 patched"),
        (RebuildDone("b", Rebuilt.FAILED, "no base"), Level.WARNING, "could not be rebuilt"),
        (PushDropped(3, "a newer push supersedes it"), Level.INFO, "a push is not released"),
        (PushDropped(3, "Prefect refused it"), Level.WARNING, "Prefect refused it"),
        (
            Quarantined(Quarantine(QuarantineKind.PACKAGE, "leaky@1.0", "stolen", "ada", NOON)),
            Level.ALARM,
            "leaky@1.0 is quarantined by ada",
        ),
    ],
)
def test_each_change_of_fate_has_a_level_and_words(body: Body, level: Level, words: str) -> None:
    (found,) = told(body)
    assert found.level is level
    assert words in found.title


@pytest.mark.parametrize(
    "body",
    [
        Sampled(sample()),
        RolloutStarted(PROD, artifact(1), 2, "run"),
        Promoted(deployed(1), None),
        Withdrawn(Verdict.ROLL_BACK, "errors"),
        RebuildDone("b", Rebuilt.UNCHANGED, "same digest"),
    ],
)
def test_steps_on_the_way_are_not_worth_a_message(body: Body) -> None:
    assert told(body) == ()


def test_a_release_that_was_withdrawn_and_ended_is_one_notice() -> None:
    (found,) = told(Withdrawn(None, "an error"), ReleaseFinished("stopped: an error"))
    assert (found.title, found.sequence) == ("hello r1 stopped: an error", 2)


def test_all_that_a_hotfix_went_past_is_one_notice() -> None:
    gates = ("freeze", "window", "observation")
    (found,) = told(*(Bypassed(gate, "no", "checkout is down", "ada") for gate in gates))
    for words in (*gates, "bakewell repay 1", "bakewell repay 3"):
        assert words in found.title + found.text


def test_a_notice_says_what_to_type_and_links_into_the_ui() -> None:
    (found,) = told(WAITS)
    for words in ("bakewell approve hello prod", "bakewell reject hello prod", "https://ui/run"):
        assert words in found.text


def test_the_same_wait_told_again_by_a_run_taken_up_anew_is_told_once() -> None:
    first, again = told(WAITS), told(ReleaseFinished("promoted in prod"), WAITS)
    assert [one.key for one in due(ALL, (*first, *again), ())] == [
        "hello r1 prod approval",
        "hello r1 promoted",
    ]
    assert due(ALL, first, {"hello r1 prod approval"}) == ()


def test_each_is_told_what_concerns_it() -> None:
    loud = Target(name="pager", variable="URL", level=Level.ALARM)
    shop = Target(name="shop", variable="URL", services=("shop",))
    lines = [notice(1), notice(2, Level.ALARM), notice(3, service="shop"), notice(4, service="")]
    assert [one.sequence for one in due(ALL, lines, ())] == [1, 2, 3, 4]
    assert [one.sequence for one in due(loud, lines, ())] == [2]
    assert [one.sequence for one in due(shop, lines, ())] == [3, 4], "and what is about no service"


def test_after_a_long_silence_there_is_one_summary() -> None:
    lines = [notice(number) for number in range(1, 40)] + [notice(40, Level.ALARM)]
    (found,) = due(ALL, lines, ())
    assert found.level is Level.ALARM
    assert found.title == "40 things happened: 39 info, 1 alarm"
    assert "title 40" in found.text
    assert found.sequence == 40


@given(st.lists(st.integers(1, 60), max_size=80), st.sets(st.integers(1, 60)))
def test_nothing_is_told_twice_and_little_at_once(numbers: list[int], before: set[int]) -> None:
    lines = [notice(number) for number in numbers]
    found = due(ALL, lines, {f"key {number}" for number in before})
    assert len(found) <= MOST_AT_ONCE
    keys = [one.key for one in found]
    assert len(set(keys)) == len(keys)
    assert not {f"key {number}" for number in before} & set(keys)


def test_who_does_not_answer_is_asked_ever_more_seldom() -> None:
    waits = [retry_seconds(failures) for failures in range(1, 12)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (30.0, 3600.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"targets": []},
        {"targets": [{"name": "team"}]},
        {"targets": [{"name": "team", "variable": "URL", "file": "/run/url"}]},
        {"targets": [{"name": "team", "variable": "URL"}, {"name": "team", "variable": "URL"}]},
        {"targets": [{"name": "team", "variable": "slack://a/b/c"}]},
        {"targets": [{"name": "team", "variable": "URL"}], "ui": "https://user:secret@host"},
    ],
)
def test_settings_that_tell_nobody_or_hold_a_secret_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        NotifySettings.model_validate(wrong)
