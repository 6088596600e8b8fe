"""What the journal says came of a rollout: the verdict that is attested, with its numbers and its line."""

from datetime import timedelta

from flows.outcomes import outcome
from tasks.evidence import RolloutVerdict
from tasks.journal.events import (
    Deployed,
    Promoted,
    RolledBack,
    RolloutStarted,
    StepStarted,
    VerdictGiven,
    Withdrawn,
)
from tasks.model import Environment, Judgement, Verdict
from tests.support.events import step
from tests.support.told import BEGIN, Told, artifact, three_releases

PLACE = Environment("hello", "production", "process", 8080)


def of(told: Told, release: str, environment: str = "production") -> RolloutVerdict | None:
    return outcome(told.events, "hello", release, environment)


def begun() -> Told:
    told = Told()
    told.tell("r3", RolloutStarted(PLACE, artifact(3), 2, ""), "production")
    told.tell("r3", StepStarted(0, step(2, 3)), "production")
    told.wait(4)
    return told


def promoted() -> Told:
    told = begun()
    deployed = Deployed("r3", artifact(3), 2, told.now)
    told.tell("r3", Promoted(deployed, None), "production")
    return told


def test_a_promotion_has_the_judges_reason_numbers_times_and_line() -> None:
    told = three_releases()
    found = of(told, "r2")
    (line,) = [
        one
        for one in told.events
        if one.kind == "promoted" and one.release == "r2" and one.environment == "production"
    ]
    judged = [
        one
        for one in told.events
        if one.kind == "verdict given" and one.release == "r2" and one.environment == "production"
    ]
    assert found is not None
    assert found.verdict is Verdict.PROMOTE
    assert (found.environment, found.platform, found.release) == ("production", "process", "r2")
    assert found.line == line.hash
    assert found.at == line.at
    assert BEGIN < found.started_at < found.at
    assert {
        "judgement": {"verdict": "promote", "reason": found.reason, "numbers": found.numbers}
    } == judged[-1].body


def test_a_roll_back_has_the_reason_of_the_withdrawal() -> None:
    told = three_releases()
    found = of(told, "r3")
    assert found is not None
    assert found.verdict is Verdict.ROLL_BACK
    assert "failed" in found.reason
    assert found.numbers["requests"] == 183
    assert found.line == next(one.hash for one in told.events if one.kind == "withdrawn")
    in_staging = of(told, "r3", "staging")
    assert in_staging is not None
    assert in_staging.verdict is Verdict.PROMOTE


def test_one_that_goes_on_and_one_that_never_was_have_none() -> None:
    assert of(begun(), "r3") is None
    assert of(begun(), "r4") is None
    assert of(begun(), "r3", "staging") is None
    assert of(Told(), "r1") is None


def test_a_crash_and_an_interruption_give_no_verdict() -> None:
    told = begun()
    told.tell("r3", Withdrawn(None, "the run was stopped"), "production")
    assert of(told, "r3") is None


def test_what_nobody_judged_was_promoted_because_its_steps_were_taken() -> None:
    found = of(promoted(), "r3")
    assert found is not None
    assert (found.reason, found.numbers) == ("all its steps were taken", {})


def test_a_regression_after_the_promotion_takes_its_place() -> None:
    told = promoted()
    told.wait(30)
    bad = Judgement(Verdict.ROLL_BACK, "it fails now", {"requests": 9})
    line = told.tell("r3", VerdictGiven(bad), "production")
    deployed = Deployed("r2", artifact(2), 2, told.now)
    told.tell("r2", RolledBack(deployed, "regression", "watch"), "production")
    found = of(told, "r3")
    assert found is not None
    assert (found.verdict, found.reason) == (Verdict.ROLL_BACK, "it fails now")
    assert found.line == line.hash
    assert found.at - found.started_at == timedelta(seconds=34)


def test_of_two_rollouts_the_newest_counts_alone() -> None:
    told = promoted()
    told.wait(60)
    told.tell("r3", RolloutStarted(PLACE, artifact(3), 2, ""), "production")
    assert of(told, "r3") is None, "the newest goes on"
    told.tell("r3", Withdrawn(Verdict.INCONCLUSIVE, "nothing answered"), "production")
    found = of(told, "r3")
    assert found is not None
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.numbers == {}
