"""The course of a rollout as the journal tells it: each attempt with its own steps, samples, verdicts and end."""

import pytest

from flows.course import Course, Ending, courses, newest
from tasks.journal.events import (
    Healed,
    Promoted,
    ReleaseFinished,
    RolloutStarted,
    Sampled,
    StepStarted,
    VerdictGiven,
    Withdrawn,
)
from tasks.model import Environment, Gate, Judgement, Role, Verdict
from tests.support.events import artifact, deployed, step
from tests.support.rollouts import seen, unseen
from tests.support.told import BEGIN, Told, three_releases


def begin(told: Told, release: str = "r3", environment: str = "production") -> None:
    place = Environment("hello", environment, "process", 8080)
    told.tell(release, RolloutStarted(place, artifact(3), 2, ""), environment)
    told.wait(1)


def the_course(told: Told, release: str = "r3") -> Course:
    (found,) = courses(told.events, "hello", release)
    return found


def test_a_rollback_is_told_with_its_steps_samples_verdicts_and_reason() -> None:
    staging, production = courses(three_releases().events, "hello", "r3")
    assert (staging.name, staging.ending) == ("hello r3 in staging", Ending.PROMOTED)
    assert (production.ending, production.verdict) == (Ending.ROLLED_BACK, Verdict.ROLL_BACK)
    assert "requests failed" in production.reason
    assert [one.step.gate for one in production.steps] == [Gate.SMOKE, Gate.OBSERVE]
    assert len(production.seen) == 7
    assert [one.judgement.verdict for one in production.verdicts] == [
        Verdict.PROMOTE,
        Verdict.ROLL_BACK,
    ]
    assert production.verdicts[-1].step == production.steps[-1].step


def test_the_first_release_has_nobody_beside_it_and_is_the_one_that_is_judged() -> None:
    first = courses(three_releases().events, "hello", "r1")[0]
    assert first.groups == ("r1",)
    assert first.role("r1") is Role.CANARY
    assert not first.observed


def test_groups_come_in_the_order_in_which_users_met_them_each_with_its_role() -> None:
    course = courses(three_releases().events, "hello", "r3")[0]
    assert course.groups == ("r2", "r3", "r3-baseline")
    assert [course.role(group) for group in (*course.groups, "stranger")] == [
        Role.STABLE,
        Role.CANARY,
        Role.BASELINE,
        Role.STABLE,
    ]


@pytest.mark.parametrize(
    ("verdict", "ending"),
    [
        (Verdict.ROLL_BACK, Ending.ROLLED_BACK),
        (Verdict.INCONCLUSIVE, Ending.WITHDRAWN),
        (None, Ending.WITHDRAWN),
    ],
)
def test_only_a_verdict_rolls_back_a_crash_or_blindness_withdraws(
    verdict: Verdict | None, ending: Ending
) -> None:
    told = Told()
    begin(told)
    told.tell("r3", Withdrawn(verdict, "because"), "production")
    course = the_course(told)
    assert (course.ending, course.verdict, course.reason) == (ending, verdict, "because")


def test_a_rollout_that_goes_on_lasts_until_its_newest_event() -> None:
    told = Told()
    begin(told)
    told.tell("r3", StepStarted(0, step(2, 3)), "production")
    told.wait(4)
    told.tell("r3", Sampled(unseen(5)), "production")
    course = the_course(told)
    assert (course.ending, course.seconds) == (Ending.GOES_ON, 5)
    assert (course.seen, len(course.samples)) == ((), 1), (
        "blindness is remembered, and is no sample"
    )
    assert course.observed


def test_a_verdict_before_the_first_step_belongs_to_none() -> None:
    told = Told()
    begin(told)
    told.tell("r3", VerdictGiven(Judgement(Verdict.INCONCLUSIVE, "early")), "production")
    assert the_course(told).verdicts[0].step is None


def test_what_comes_after_the_end_is_another_story() -> None:
    told = Told()
    begin(told)
    told.tell("r3", Promoted(deployed(3), None), "production")
    told.wait(60)
    told.tell("r3", Sampled(seen(61, r3=(100, 50))), "production")
    told.tell("r3", Healed("one had died"), "production")
    told.tell("r3", ReleaseFinished("promoted in production"))
    course = the_course(told)
    assert (course.seconds, course.samples) == (1, ())


def test_each_attempt_is_a_course_and_the_newest_counts() -> None:
    told = Told()
    begin(told, environment="staging")
    begin(told)
    told.tell("r3", Withdrawn(None, "the process died"), "production")
    begin(told)
    told.tell("r3", Promoted(deployed(3), None), "production")
    found = courses(told.events, "hello", "r3")
    assert [one.ending for one in found] == [
        Ending.GOES_ON,
        Ending.WITHDRAWN,
        Ending.PROMOTED,
    ]
    assert [(one.environment.name, one.ending) for one in newest(found)] == [
        ("staging", Ending.GOES_ON),
        ("production", Ending.PROMOTED),
    ]


def test_an_attempt_that_died_silently_is_not_continued_by_the_next() -> None:
    told = Told()
    begin(told)
    told.tell("r3", Sampled(seen(1, r3=(1, 1))), "production")
    begin(told)
    first, second = courses(told.events, "hello", "r3")
    assert (first.ending, len(first.samples)) == (Ending.GOES_ON, 1)
    assert (second.started_at > BEGIN, second.samples) == (True, ())


def test_other_releases_environments_and_services_do_not_mix() -> None:
    told = Told()
    begin(told)
    begin(told, environment="staging")
    told.tell("r4", Sampled(seen(1, r3=(1, 1))), "production")
    told.tell("r3", Sampled(seen(1, r3=(2, 2))), "staging")
    told.tell("r3", Sampled(seen(1, r3=(3, 3))), "production", service="other")
    production, staging = courses(told.events, "hello", "r3")
    assert (len(production.samples), len(staging.samples)) == (0, 1)


def test_events_before_any_rollout_and_of_unknown_releases_are_no_course() -> None:
    told = Told()
    told.start(3)
    told.tell("r3", Sampled(seen(1, r3=(1, 1))), "production")
    assert courses(told.events, "hello", "r3") == ()
    assert courses([], "hello", "r3") == ()
    assert newest(()) == ()
