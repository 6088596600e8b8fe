"""Answers for people and for machines: status, history, plan, checks, and what users saw, in tables and in `--json`."""

import json
from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest

from flows import plain, views
from flows.load import LoadSummary, Second, VersionSeen
from flows.plain import Check
from flows.planning import EnvironmentPlan, PlannedStep
from flows.status import EnvironmentReport
from flows.users import BOUNDS_MS, Ended, Failure
from tasks.journal.events import Promoted, RolledBack, Sampled, Scaled, VerdictGiven
from tasks.journal.rules import ChainBreak, EnvironmentState, RolloutState
from tasks.model import (
    EnsureGroup,
    FleetSpec,
    FleetStatus,
    Gate,
    Group,
    GroupStatus,
    Judgement,
    LatencyHistogram,
    Lease,
    Role,
    ShiftTraffic,
    Verdict,
)
from tests.support.events import NOON, PROD, artifact, chained, deployed, line, sample, step
from tests.support.fleets import running
from tests.support.pages import HOSTILE, flat, printed

STABLE = Group("r1", artifact(1), 2, 100, Role.STABLE)
NOW = NOON + timedelta(hours=1)
AT_EASE = EnvironmentReport(
    EnvironmentState(PROD, stable=deployed(1), vetted=(deployed(1),), last_outcome="r1 promoted"),
    FleetSpec((STABLE,)),
    FleetStatus((running(STABLE),), "http://127.0.0.1:8080"),
    None,
    (),
)


def status(report: EnvironmentReport) -> str:
    return flat(views.status([report], NOW))


def as_json(report: EnvironmentReport) -> dict[str, Any]:
    (found,) = json.loads(json.dumps(plain.status_json([report])))
    assert isinstance(found, dict)
    return found


# ---- status --------------------------------------------------------------------------------------


def test_status_says_what_runs_where_with_how_much_traffic_and_since_when() -> None:
    words = status(AT_EASE)
    for expected in (
        "hello prod http://127.0.0.1:8080",
        "r1",
        "stable",
        "100 %",
        "2 of 2",
        "59 min",
    ):
        assert expected in words
    assert "last: r1 promoted" in words
    found = as_json(AT_EASE)
    assert (found["stable"], found["endpoint"]) == ("r1", "http://127.0.0.1:8080")
    assert found["groups"] == [
        {
            "name": "r1",
            "digest": artifact(1).digest,
            "role": "stable",
            "weight": 100,
            "weight_desired": 100,
            "ready": 2,
            "replicas_desired": 2,
        }
    ]


def test_nothing_released_says_what_to_try() -> None:
    assert "bakewell demo" in flat(views.status([]))
    assert plain.status_json([]) == []


def test_what_could_not_be_read_is_unknown_not_absent() -> None:
    blind = replace(AT_EASE, found=None, problems=("could not be read: no answer",))
    words = status(blind)
    assert "? of 2" in words
    assert "0 %" not in words
    assert "! could not be read: no answer" in words
    (group,) = as_json(blind)["groups"]
    assert (group["ready"], group["weight"], group["replicas_desired"]) == (None, None, 2)
    nothing_wanted = replace(blind, desired=FleetSpec())
    assert "nothing runs here" not in status(nothing_wanted)
    assert "could not be read" in status(nothing_wanted)


def test_what_runs_and_should_not_and_what_should_and_does_not_are_both_shown() -> None:
    stray = GroupStatus("r9", artifact(9), 0, running(STABLE).instances)
    odd = replace(AT_EASE, found=FleetStatus((stray,)))
    words = status(odd)
    assert "no endpoint" in words
    assert "not wanted" in words
    assert "0 of 2" in words
    names = {group["name"]: group for group in as_json(odd)["groups"]}
    assert (names["r9"]["role"], names["r9"]["replicas_desired"]) == (None, 0)
    assert (names["r1"]["ready"], names["r1"]["digest"]) == (None, artifact(1).digest)
    assert as_json(odd)["endpoint"] is None, "what is not there is null"


def test_a_rollout_tells_its_step_its_age_and_who_holds_it() -> None:
    began = NOW - timedelta(seconds=90)
    rollout = RolloutState("r2", artifact(2), began, step(1, 2), 1, 4, "")
    lease = Lease("hello", "prod", "build-7:boot:99:1:release", 4, NOW + timedelta(seconds=30))
    busy = replace(AT_EASE, state=replace(AT_EASE.state, rollout=rollout), lease=lease)
    words = status(busy)
    assert "rollout of r2: step 2: 10 %; began 90 s ago" in words
    assert "in the hands of release (process 99 on build-7) until 13:00:30 UTC" in words
    found = as_json(busy)
    assert found["rollout"]["step"] == "10 %"
    assert found["lease"]["token"] == 4
    early = replace(rollout, step=None)
    words = status(replace(AT_EASE, state=replace(AT_EASE.state, rollout=early)))
    assert "before its first step" in words


def test_the_warm_one_is_told_until_its_time_is_over() -> None:
    state = replace(
        AT_EASE.state, warm=deployed(1), warm_until=NOW + timedelta(minutes=5), last_outcome=""
    )
    warm = replace(AT_EASE, state=state)
    assert "r1 stays warm for 5 min more" in status(warm)
    assert "stays warm" not in flat(views.status([warm], NOW + timedelta(minutes=6)))
    assert as_json(warm)["last_outcome"] is None


def test_a_place_that_is_down_says_how_it_comes_back() -> None:
    down = replace(
        AT_EASE, state=EnvironmentState(PROD, down=True), desired=FleetSpec(), found=FleetStatus()
    )
    assert "is down; `bakewell release` brings hello back" in status(down)
    assert as_json(down)["down"] is True
    assert as_json(down)["stable_since"] is None


def test_moments_in_json_are_utc_wherever_they_were_written() -> None:
    there = timezone(timedelta(hours=-7))
    state = replace(AT_EASE.state, stable=replace(deployed(1), since=NOON.astimezone(there)))
    assert as_json(replace(AT_EASE, state=state))["stable_since"] == "2026-03-01T12:00:00+00:00"


def test_a_hundred_environments_are_all_shown_in_order() -> None:
    reports = [
        replace(AT_EASE, state=replace(AT_EASE.state, environment=replace(PROD, name=f"place-{n}")))
        for n in range(100)
    ]
    words = flat(views.status(reports, NOW))
    places = [words.index(f"hello place-{n} ") for n in range(100)]
    assert places == sorted(places)
    assert [one["environment"] for one in plain.status_json(reports)] == [
        f"place-{n}" for n in range(100)
    ]


def test_what_others_wrote_moves_no_cursor_and_is_no_markup() -> None:
    lease = Lease("hello", "prod", HOSTILE, 1, NOW)
    state = replace(AT_EASE.state, last_outcome=HOSTILE)
    shown = printed(
        views.status([replace(AT_EASE, state=state, lease=lease, problems=(HOSTILE,))], NOW)
    )
    assert "\x1b" not in shown
    assert "\x00" not in shown
    assert shown.count("[red]x[/red]") == 3


# ---- history -------------------------------------------------------------------------------------

EVENTS = chained(
    [
        line("r1", Promoted(deployed(1), None)),
        line("r1", Sampled(sample())),
        line("r2", VerdictGiven(Judgement(Verdict.ROLL_BACK, "too many errors"))),
        line("", Scaled(3), environment=""),
    ]
)


def test_history_is_newest_first_without_samples() -> None:
    shown = printed(views.history(EVENTS, 10)).splitlines()
    assert [" ".join(row.split()) for row in shown[1:]] == [
        "03-01 12:00:04 hello scaled to 3 instances",
        "03-01 12:00:03 hello prod r2 roll back: too many errors",
        "03-01 12:00:01 hello prod r1 promoted",
    ]
    found = plain.history_json(EVENTS, 10)
    assert [one["sequence"] for one in found] == [4, 3, 1]
    assert found[0]["environment"] is None
    assert found[0]["release"] is None
    assert (found[1]["verdict"], found[1]["kind"]) == ("roll back", "verdict given")
    json.dumps(found)


def test_a_limit_says_how_much_it_left_out() -> None:
    assert "2 older events not shown" in flat(views.history(EVENTS, 1))
    assert "not shown" not in flat(views.history(EVENTS, 3))
    assert len(plain.history_json(EVENTS, 1)) == 1


def test_a_limit_of_nothing_does_not_say_that_nothing_happened() -> None:
    words = flat(views.history(EVENTS, 0))
    assert "3 older events not shown" in words
    assert "Nothing has been released" not in words
    assert plain.history_json(EVENTS, -5) == []


def test_an_empty_history_says_what_to_try() -> None:
    assert "bakewell release" in flat(views.history([], 10))


def test_a_reason_cannot_forge_a_line_of_the_history() -> None:
    told = chained([line("r1", RolledBack(deployed(1), HOSTILE, HOSTILE))])
    shown = printed(views.history(told, 10), 5000).splitlines()
    assert len(shown) == 2
    assert "[red]x[/red]" in shown[1]
    assert "\x1b" not in shown[1]


def test_an_event_that_cannot_be_read_does_not_hide_the_others() -> None:
    broken = [replace(EVENTS[0], body={"deployed": 7}), *EVENTS[1:]]
    words = flat(views.history(broken, 10))
    assert "cannot be read" in words
    assert "too many errors" in words


# ---- plan ----------------------------------------------------------------------------------------

START = PlannedStep("start r2 without traffic", (EnsureGroup(STABLE),), Gate.SMOKE)
SHIFT = PlannedStep("10 % to r2", (ShiftTraffic((("r1", 90), ("r2", 10))),), Gate.OBSERVE)
PLAN = EnvironmentPlan("hello", "prod", "r2", artifact(2).digest, (START, SHIFT))


def test_a_plan_numbers_its_steps_and_says_what_opens_each_gate() -> None:
    words = flat(views.plan([PLAN]))
    order = [
        "hello r2 to prod",
        "1. start r2 without traffic",
        "start r1 until 2 instances",
        "then go on when every fresh instance passes its smoke test",
        "2. 10 % to r2",
        "shift traffic: r1 90 %, r2 10 %",
        "by verdict",
    ]
    assert [words.index(one) for one in order] == sorted(words.index(one) for one in order)
    (found,) = plain.plan_json([PLAN])
    assert found["digest"] == artifact(2).digest
    assert found["steps"] == [
        {"name": one.name, "gate": one.gate.value, "actions": [action]}
        for one, action in (
            (START, f"start r1 until 2 instances of {artifact(1).short} are ready"),
            (SHIFT, "shift traffic: r1 90 %, r2 10 %"),
        )
    ]


def test_every_gate_has_words() -> None:
    assert views.GATES.keys() == set(Gate)


def test_a_plan_that_does_nothing_says_why() -> None:
    assert "nothing to do" in flat(views.plan([replace(PLAN, steps=())]))
    assert "not baked yet" in flat(views.plan([replace(PLAN, digest="")]))
    assert plain.plan_json([replace(PLAN, digest="")])[0]["digest"] is None
    assert "no environment" in flat(views.plan([]))


# ---- checks and chain ----------------------------------------------------------------------------


def test_one_check_that_failed_refuses_and_is_named() -> None:
    found = [Check("signature", True, "valid"), Check("scan", False, "older than 48 h")]
    words = flat(views.checks("hello@sha256:12", found))
    assert "REFUSED scan older than 48 h" in words
    assert "hello@sha256:12 may NOT run: because of scan" in words
    assert plain.checks_json(found)["passed"] is False


def test_all_checks_passed_may_run_but_none_at_all_may_not() -> None:
    good = [Check("signature", True, "valid")]
    assert "hello has evidence that holds" in flat(views.checks("hello", good))
    assert "may NOT run: nothing could be checked" in flat(views.checks("hello", []))
    assert (plain.checks_json(good)["passed"], plain.checks_json([])["passed"]) == (True, False)


def test_a_check_cannot_pretend_to_have_passed() -> None:
    shown = printed(views.checks(HOSTILE, [Check(HOSTILE, False, HOSTILE)]), 5000)
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 2
    assert "REFUSED" in shown


def test_a_broken_chain_names_the_line_and_an_empty_one_proves_nothing() -> None:
    broken = ChainBreak(3, "it was changed")
    assert "BROKEN at line 3: it was changed" in flat(views.chain(EVENTS, broken))
    assert plain.chain_json(EVENTS, broken)["broken_at"] == 3
    whole = flat(views.chain(EVENTS, None))
    assert "4 events" in whole
    assert EVENTS[-1].hash in whole
    assert "nothing to prove" in flat(views.chain([], None))
    assert plain.chain_json([], None) == {
        "intact": True,
        "events": 0,
        "newest_hash": None,
        "broken_at": None,
        "problem": None,
    }


def test_an_outcome_is_one_line() -> None:
    assert printed(views.outcome("r2", "sha256:12", "promoted\nin prod")).splitlines() == [
        "r2 promoted / in prod (sha256:12)".replace(" (", "  (")
    ]


# ---- what users saw ------------------------------------------------------------------------------


def answered(version: str, counts: dict[int, int], statuses: dict[int, int]) -> VersionSeen:
    """`counts`: place of a histogram's bucket -> requests."""
    latency = tuple(counts.get(place, 0) for place in range(len(BOUNDS_MS) + 1))
    return VersionSeen(version, statuses, LatencyHistogram(BOUNDS_MS, latency), 12.34)


def summary(*versions: VersionSeen, ended: Ended = Ended.STOPPED, **more: int) -> LoadSummary:
    failed = {Failure[kind.upper()]: number for kind, number in more.items() if kind != "late"}
    second = Second(NOON, 2.0, versions, failed, more.get("late", 0))
    return LoadSummary("http://127.0.0.1:1/", (second,), ended, "killed\x1b[2J")


def test_users_are_told_per_version_with_what_was_not_answered() -> None:
    seen = summary(
        answered("2", {0: 90}, {200: 90}),
        answered("3", {3: 10}, {200: 7, 503: 3}),
        refused=2,
        late=1,
    )
    words = flat(views.users_saw(seen))
    assert "3 10 3 (30 %)" in words
    assert "2 90 0 " in words
    assert "2 requests got NO ANSWER: 2 connection refused." in words
    assert "51 requests/s for 2 s" in words
    assert "1 request went out" in words
    found = plain.users_saw_json(seen)
    assert (found["requests"], found["answered_with_error"]) == (102, 3)
    assert found["unanswered"] == {"connection refused": 2}
    versions = found["versions"]
    assert isinstance(versions, list)
    assert [one["version"] for one in versions if isinstance(one, dict)] == ["2", "3"]
    json.dumps(found)


def test_when_everything_was_answered_it_says_so_and_when_nobody_asked_it_does_not() -> None:
    assert "Every one of the 90 requests was answered" in flat(
        views.users_saw(summary(answered("2", {0: 90}, {200: 90})))
    )
    assert "Nobody asked anything." in flat(views.users_saw(summary()))
    assert "Nobody asked anything." in flat(views.users_saw(LoadSummary("", (), Ended.STOPPED)))


def test_answers_slower_than_all_bounds_are_told_as_slower_than_the_last() -> None:
    seen = summary(answered("2", {len(BOUNDS_MS): 9}, {200: 9}))
    assert flat(views.users_saw(seen)).count("> 7500 ms") == 3
    assert '"p99_ms": null' in json.dumps(plain.users_saw_json(seen))
    assert "not measured" in flat(views.users_saw(summary(answered("2", {}, {200: 9}))))


def test_the_name_of_a_version_comes_with_an_answer_and_is_only_words() -> None:
    shown = printed(views.users_saw(summary(answered(HOSTILE, {0: 1}, {200: 1}))), 5000)
    assert "\x1b" not in shown
    assert "[red]x[/red]" in shown
    splitter = flat(views.users_saw(summary(answered("", {0: 1}, {503: 1}))))
    assert "none (the splitter's own answer)" in splitter


def test_a_load_generator_that_was_lost_makes_no_claim_about_the_end() -> None:
    words = flat(views.users_saw(summary(answered("2", {0: 1}, {200: 1}), ended=Ended.LOST)))
    assert "THE LOAD GENERATOR WAS LOST (killed�[2J): the end is missing." in words


@pytest.mark.parametrize(("value", "words"), [(0.04, "0.0 ms"), (9.94, "9.9 ms"), (12.3, "12 ms")])
def test_milliseconds_have_the_digits_that_matter(value: float, words: str) -> None:
    assert views.milliseconds(value) == words
