"""Retelling: the judge's looks follow from the samples alone; a placebo never plays with a canary."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from flows.course import Course, courses
from flows.retelling import looks, placebo, places_of
from tasks.model import Judgement, Sample, Verdict
from tasks.observe.peers import PeerJudge
from tasks.service import AllAtOnce, BlueGreen, Canary, Observe
from tests.support.rollouts import course, judged, seen, unseen
from tests.support.told import BEGIN, SPEC, Told, three_releases

OWN = SPEC.environments[1].observe
STRICTER = OWN.model_copy(update={"minimum_seconds": 50})


@pytest.fixture(scope="module")
def told() -> Told:
    return three_releases()


@pytest.fixture(scope="module")
def bad(told: Told) -> Course:
    """r3 in production: one request in five failed, and it was rolled back."""
    return courses(told.events, "hello", "r3")[1]


@pytest.fixture(scope="module")
def good(told: Told) -> Course:
    return courses(told.events, "hello", "r2")[1]


def judged_directly(shown: Course, settings: Observe) -> list[Judgement]:
    """What a judge says who sees the samples as they come, as in the rollout."""
    judge = PeerJudge(SPEC.objectives, settings, places_of(SPEC))
    found, began = [], dict[datetime, datetime]()
    for count, sample in enumerate(shown.samples, start=1):
        taken = [one for one in shown.steps if one.at < sample.at][-1]
        assert isinstance(sample, Sample)
        begun = began.setdefault(taken.at, sample.at - timedelta(seconds=sample.seconds))
        names = [one.name for one in taken.step.spec.groups if one.weight]
        peers = tuple(name for name in names if name != shown.release)
        found.append(judge.judge(shown.samples[:count], shown.release, peers, begun, sample.at))
    return found


def test_each_look_is_what_the_judge_says_on_the_same_samples(bad: Course, good: Course) -> None:
    for shown in (bad, good):
        assert [one.judgement for one in looks(shown, SPEC)] == judged_directly(shown, OWN)


def test_a_bad_release_ends_with_a_rollback_and_a_good_one_with_its_promotion(
    bad: Course, good: Course
) -> None:
    assert looks(bad, SPEC)[-1].judgement.verdict is Verdict.ROLL_BACK
    assert Verdict.ROLL_BACK not in {one.judgement.verdict for one in looks(good, SPEC)}


def test_looks_say_when_and_in_which_step(good: Course) -> None:
    found = looks(good, SPEC)
    assert [one.seconds for one in found] == sorted(one.seconds for one in found)
    assert {one.step for one in found} == {
        "10 % of the traffic to r2",
        "20 % of the traffic to r2",
    }


def test_a_sample_that_ended_as_a_step_began_belongs_to_the_step_before(good: Course) -> None:
    """As in the rollout, where the judge was asked before the step was begun."""
    last = good.steps[-1]
    assert last.at == good.samples[-1].at
    assert looks(good, SPEC)[-1].step != last.step.name


def test_other_settings_than_its_own_change_what_comes_out(bad: Course) -> None:
    blunt = OWN.model_copy(update={"burst": 1000})
    assert looks(bad, SPEC, blunt) != looks(bad, SPEC)
    assert looks(bad, SPEC, OWN) == looks(bad, SPEC)
    assert [one.judgement for one in looks(bad, SPEC, STRICTER)] == judged_directly(bad, STRICTER)


def test_what_the_judge_believed_about_bursts_then_is_believed_again(bad: Course) -> None:
    silent = OWN.model_copy(update={"burst": None})
    said = judged()
    told = replace(said, judgement=replace(said.judgement, numbers={"burst": 3.5}))
    (first, *_) = looks(replace(bad, verdicts=(told,)), SPEC, silent)
    assert first.judgement.numbers["burst"] == 3.5
    (first, *_) = looks(replace(bad, verdicts=()), SPEC, silent)
    assert first.judgement.numbers["burst"] != 3.5


def test_an_environment_that_is_gone_from_the_service_file_is_judged_by_the_usual_settings(
    bad: Course,
) -> None:
    elsewhere = replace(bad, environment=replace(bad.environment, name="moon"))
    assert [one.judgement for one in looks(elsewhere, SPEC)] == judged_directly(bad, Observe())


@pytest.mark.parametrize(
    "odd",
    [
        course(),
        replace(course(seen(1, r3=(1, 0))), steps=()),
        course(replace(seen(1, r3=(1, 0)), at=BEGIN - timedelta(seconds=5))),
    ],
)
def test_without_samples_or_before_any_step_nobody_looked(odd: Course) -> None:
    assert looks(odd, SPEC) == ()


def test_blindness_and_silence_are_looked_at_and_never_roll_back() -> None:
    odd = course(unseen(1), seen(2, r2=(0, 0), r3=(0, 0)), unseen(3), seen(4, r3=(1, 0)))
    found = looks(odd, SPEC)
    assert len(found) == 4
    assert {one.judgement.verdict for one in found} == {Verdict.KEEP_OBSERVING}


def test_places_where_everything_is_replaced_at_once_are_not_judged() -> None:
    kinds = (Canary(), BlueGreen(), AllAtOnce())
    places = tuple(
        SPEC.environments[0].model_copy(update={"name": f"p{n}", "strategy": kind})
        for n, kind in enumerate(kinds)
    )
    assert places_of(SPEC.model_copy(update={"environments": places})) == 2


# ---- placebo -------------------------------------------------------------------------------------


def test_every_instance_but_the_canary_plays_the_canary(bad: Course) -> None:
    found = placebo([bad], SPEC, OWN)
    assert found.runs == 2 + 3, "of r2, and of its fresh baseline"
    assert (found.false_alarms, found.burst) == (0, 1.0)
    assert found.batches == len(bad.samples)


def test_what_was_wrong_with_a_canary_changes_no_placebo(bad: Course) -> None:
    def healthy(sample: Sample) -> Sample:
        kept = (replace(one, failures=0) if one.group == "r3" else one for one in sample.instances)
        return replace(sample, instances=tuple(kept))

    well = replace(bad, samples=tuple(healthy(one) for one in bad.seen))
    assert placebo([well], SPEC, OWN) == placebo([bad], SPEC, OWN)


def test_a_sick_stable_instance_is_a_false_alarm(bad: Course) -> None:
    def sick(sample: Sample) -> Sample:
        found = (
            replace(one, failures=one.requests) if one.instance == "r2-1" else one
            for one in sample.instances
        )
        return replace(sample, instances=tuple(found))

    assert placebo([replace(bad, samples=tuple(map(sick, bad.seen)))], SPEC, OWN).false_alarms == 1


def test_several_rollouts_add_up_and_none_says_nothing(bad: Course, good: Course) -> None:
    both = placebo([good, bad], SPEC, OWN)
    alone = [placebo([one], SPEC, OWN) for one in (good, bad)]
    assert both.runs == sum(one.runs for one in alone)
    assert both.batches == sum(one.batches for one in alone)
    nothing = placebo([], SPEC, OWN)
    assert (nothing.runs, nothing.false_alarms, nothing.burst) == (0, 0, 1.0)


@pytest.mark.parametrize("odd", [course(), course(unseen(1)), course(seen(1, r3=(5, 5)))])
def test_a_rollout_in_which_only_the_canary_was_seen_has_no_placebo(odd: Course) -> None:
    found = placebo([odd], SPEC, OWN)
    assert (found.runs, found.false_alarms) == (0, 0)
