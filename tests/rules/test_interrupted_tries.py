"""A rollout told again from the journal: an interrupted try is evidence of the next, a promoted one is not."""

from collections.abc import Callable
from datetime import timedelta

from flows.course import Course, courses
from flows.retelling import looks, places_of
from tasks.journal.events import RolloutStarted, Withdrawn
from tasks.model import Environment, FleetSpec, Gate, Group, Role, Sample
from tasks.observe.peers import PeerJudge
from tests.support.told import SPEC, Told, artifact

PLACE = Environment("hello", "production", "process", 8080)
Ending = Callable[[Told], None]


def two_tries(ending: Ending) -> tuple[Course, Course]:
    """r2 is observed in production, something ends that, and it is rolled out again."""
    told = Told()
    told.start(1)
    told.roll_out(1, "production")
    told.start(2)
    told.roll_out(2, "production", 1, until=8)
    told.events = told.events[: 1 + max(place for place, _ in _samples(told))]
    ending(told)
    told.wait(60)
    told.roll_out(2, "production", 1)
    first, second = courses(told.events, "hello", "r2")
    return first, second


def both(before: int, now: int) -> FleetSpec:
    """Percent of the traffic for r1 and r2."""
    return FleetSpec(
        (
            Group("r1", artifact(1), 2, before, Role.STABLE),
            Group("r2", artifact(2), 1, now, Role.CANARY),
        )
    )


def _samples(told: Told) -> list[tuple[int, object]]:
    return [(place, one) for place, one in enumerate(told.events) if one.kind == "sampled"]


def interrupted(told: Told) -> None:
    told.tell("r2", Withdrawn(None, "the process ended"), "production")


def nothing_at_all(told: Told) -> None:
    """Its process was killed, and nobody has noticed yet."""


def test_the_samples_of_an_interrupted_try_are_evidence_of_the_next() -> None:
    for ending in (interrupted, nothing_at_all):
        first, second = two_tries(ending)
        assert len(first.samples) == 8
        assert first.earlier == ()
        assert second.earlier == first.samples
        assert not set(second.samples) & set(second.earlier)


def test_a_try_that_was_interrupted_twice_keeps_all_of_it() -> None:
    told = Told()
    told.start(2)
    for _ in range(3):
        told.tell("r2", RolloutStarted(PLACE, artifact(2), 2, ""), "production")
        told.sample("r2", "production", both(90, 10), 100, {})
        told.wait(10)
        told.tell("r2", Withdrawn(None, "the process ended"), "production")
    assert [len(one.earlier) for one in courses(told.events, "hello", "r2")] == [0, 1, 2]


def test_a_promoted_release_begins_anew() -> None:
    """What was seen while it had all the traffic is no evidence of a canary among peers."""
    told = Told()
    told.start(1)
    told.roll_out(1, "production")
    told.start(2)
    told.roll_out(2, "production", 1)
    told.sample("r2", "production", both(0, 100), 100, {"r2": 0.5})
    told.wait(60)
    told.roll_out(2, "production", 1)
    first, second = courses(told.events, "hello", "r2")
    assert second.earlier == ()
    assert sum(isinstance(one, Sample) for one in first.samples) == len(_samples(told)) // 2


def test_looks_are_those_of_one_judge_who_was_shown_everything() -> None:
    _, second = two_tries(interrupted)
    told = looks(second, SPEC)
    assert len(told) == len(second.samples)
    judge = PeerJudge(SPEC.objectives, SPEC.environments[1].observe, places_of(SPEC))
    observed = [one for one in second.steps if one.step.gate is Gate.OBSERVE]
    groups = [one.name for one in observed[-1].step.spec.groups if one.weight]
    steps = [one for one in second.seen if one.at > observed[-1].at]
    begun = steps[0].at - timedelta(seconds=steps[0].seconds)
    everything = (*second.earlier, *second.samples)
    peers = tuple(one for one in groups if one != "r2")
    found = judge.judge(everything, "r2", peers, begun, everything[-1].at)
    assert told[-1].judgement == found
    anew = PeerJudge(SPEC.objectives, SPEC.environments[1].observe, places_of(SPEC))
    forgetful = anew.judge(second.samples, "r2", peers, begun, everything[-1].at)
    assert forgetful.numbers["errors: at most"] != found.numbers["errors: at most"]
