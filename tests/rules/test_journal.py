"""The fold: what is true after these lines, and what should be there."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from tasks.errors import CorruptError
from tasks.journal.rules import (
    TOLD_ONLY,
    Body,
    Continuation,
    EnvironmentState,
    EventKind,
    Healed,
    Promoted,
    ReleaseFinished,
    ReleaseStarted,
    RolledBack,
    RolloutStarted,
    Sampled,
    Scaled,
    State,
    StepStarted,
    WarmEnded,
    WentDown,
    Withdrawn,
    body_of,
    continue_or_start,
    desired,
    fold,
    next_release_id,
    roll_back_target,
)
from tasks.model import FleetSpec, Group, Role, Verdict
from tasks.ports import Event
from tests.support.events import (
    NOON,
    PROD,
    SOURCE,
    SPEC,
    artifact,
    chained,
    deployed,
    line,
    release_started,
    sample,
    step,
)

LATER = NOON + timedelta(hours=1)


def rollout(number: int, flow_run: str = "") -> Event:
    return line(f"r{number}", RolloutStarted(PROD, artifact(number), 2, flow_run), token=number)


def promotion(number: int, warm: bool = True) -> list[Event]:
    return [
        rollout(number),
        line(f"r{number}", Promoted(deployed(number), LATER if warm else None)),
    ]


def prod(*lines: Event | list[Event]) -> EnvironmentState:
    flat = [one for part in lines for one in (part if isinstance(part, list) else [part])]
    return fold(chained(flat)).environments["hello", "prod"]


# ---- one environment -----------------------------------------------------------------------------


def test_a_rollout_is_under_way_from_its_start_and_knows_its_step_token_and_run() -> None:
    state = prod(promotion(1), rollout(2, "run-7"), line("r2", StepStarted(1, step(1, 2))))
    assert state.rollout is not None
    assert (state.rollout.release, state.rollout.token, state.rollout.flow_run) == (
        "r2",
        2,
        "run-7",
    )
    assert (state.rollout.step_index, state.rollout.step) == (1, step(1, 2))
    assert state.rollout.started_at == NOON + timedelta(seconds=3)
    assert state.stable == deployed(1)


def test_the_first_promotion_leaves_nothing_warm() -> None:
    state = prod(promotion(1))
    assert state == EnvironmentState(
        PROD, stable=deployed(1), vetted=(deployed(1),), last_outcome="r1 promoted"
    )


def test_a_promotion_keeps_the_one_before_warm() -> None:
    state = prod(promotion(1), promotion(2))
    assert (state.stable, state.warm, state.warm_until) == (deployed(2), deployed(1), LATER)
    assert state.vetted == (deployed(1), deployed(2))
    assert state.rollout is None


def test_a_promotion_without_warm_time_keeps_nothing_warm() -> None:
    state = prod(promotion(1), promotion(2, warm=False))
    assert (state.warm, state.warm_until) == (None, None)


def test_a_promotion_that_was_written_twice_counts_once() -> None:
    again = line("r2", Promoted(deployed(2), LATER))
    assert prod(promotion(1), promotion(2), again) == prod(promotion(1), promotion(2))


def test_a_withdrawn_candidate_leaves_stable_as_it_was_and_is_not_vetted() -> None:
    state = prod(
        promotion(1),
        rollout(2),
        line("r2", StepStarted(0, step(1, 2))),
        line("r2", Withdrawn(Verdict.ROLL_BACK, "5 % errors")),
    )
    assert (state.stable, state.rollout, state.vetted) == (deployed(1), None, (deployed(1),))
    assert state.last_outcome == "r2 withdrawn: roll back: 5 % errors"


def test_steps_and_withdrawals_of_another_release_change_nothing() -> None:
    before = prod(promotion(1), rollout(3))
    late = [line("r2", StepStarted(1, step(1, 2))), line("r2", Withdrawn(None, "late"))]
    assert prod(promotion(1), rollout(3), late) == before


def test_a_roll_back_drops_who_was_rolled_back_and_vets_it_no_longer() -> None:
    back = line("r2", RolledBack(deployed(2), "slow", "ada"))
    state = prod(promotion(1), promotion(2), promotion(3), back)
    assert (state.stable, state.warm, state.rollout) == (deployed(2), None, None)
    assert state.vetted == (deployed(1), deployed(2))
    assert state.last_outcome == "r3 rolled back to r2: slow"
    assert roll_back_target(state) == (deployed(1),)


def test_scaling_changes_the_replicas_only() -> None:
    assert prod(promotion(1), line("r1", Scaled(5))).stable == deployed(1, replicas=5)


def test_the_warm_group_ends_when_it_is_said_to() -> None:
    state = prod(promotion(1), promotion(2), line("r1", WarmEnded()))
    assert (state.stable, state.warm, state.warm_until) == (deployed(2), None, None)


def test_down_forgets_what_ran_and_keeps_what_was_vetted_until_the_next_rollout() -> None:
    state = prod(promotion(1), promotion(2), rollout(3), line("r2", WentDown()))
    assert state == EnvironmentState(
        PROD, vetted=(deployed(1), deployed(2)), down=True, last_outcome="went down"
    )
    again = prod(promotion(1), promotion(2), line("r2", WentDown()), rollout(3))
    assert not again.down


def test_what_is_only_told_is_not_even_parsed() -> None:
    nonsense = [
        replace(line("r1", Healed("")), kind=kind, body={"un": "readable"})
        for kind in (
            EventKind.SAMPLED,
            EventKind.VERDICT_GIVEN,
            EventKind.APPROVED,
            EventKind.BAKED,
        )
    ]
    assert prod(promotion(1), nonsense) == prod(promotion(1))


# ---- what cannot be understood -------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", sorted(set(EventKind) - {EventKind.WARM_ENDED, EventKind.WENT_DOWN})
)
def test_an_unreadable_body_is_refused_with_its_line_and_field(kind: EventKind) -> None:
    broken = replace(line("r1", WarmEnded()), kind=kind, sequence=41, body={"spec": 1, "at": []})
    with pytest.raises(
        CorruptError, match=rf"line 41 of the journal \({kind}\) cannot be read: at "
    ):
        body_of(broken)


def test_a_kind_of_the_future_is_refused() -> None:
    odd = replace(line("r1", WarmEnded()), kind="teleported")
    with pytest.raises(CorruptError, match=r"line 1 .*'teleported'.*newer Bakewell"):
        fold([odd])


def test_what_never_started_cannot_go_on() -> None:
    with pytest.raises(CorruptError, match="no line before has started"):
        fold([line("r1", Promoted(deployed(1), None))])
    with pytest.raises(CorruptError, match="hello r1"):
        fold([line("r1", ReleaseFinished("ok"), environment="")])


# ---- releases ------------------------------------------------------------------------------------


def release(number: int, digest: int = 0) -> Event:
    return line(f"r{number}", release_started(digest or number), environment="")


def finished(number: int, outcome: str = "done") -> Event:
    return line(f"r{number}", ReleaseFinished(outcome), environment="")


def test_a_release_is_known_from_its_start_to_its_outcome() -> None:
    state = fold(chained([release(1), finished(1, "promoted in prod")]))
    found = state.releases["hello", "r1"]
    assert (found.id, found.service, found.artifact) == ("r1", "hello", artifact(1))
    assert (found.source, found.spec, found.reused_bake) == (SOURCE, SPEC, False)
    assert (found.started_at, found.outcome) == (NOON + timedelta(seconds=1), "promoted in prod")


def test_a_release_of_before_there_were_policies_is_read_without_its_scan_settings() -> None:
    """Up to 0.2.0 they stood in service.yaml. What holds today is today's policy."""
    event = line("r1", release_started(1), environment="")
    today = event.body["spec"]
    assert isinstance(today, dict)
    spec: dict[str, JsonValue] = {**today, "scan": {"fail_on": ["HIGH"]}}
    old = replace(event, body={**event.body, "spec": spec})
    body = body_of(old)
    assert isinstance(body, ReleaseStarted)
    assert body.spec == SPEC
    assert body.spec.policy == "default"


def test_a_release_taken_up_again_keeps_its_first_start() -> None:
    found = fold(chained([release(1), release(2), release(1)])).releases["hello", "r1"]
    assert (found.started_at, found.outcome) == (NOON + timedelta(seconds=1), None)


def test_an_unfinished_release_of_the_same_digest_is_taken_up_again() -> None:
    state = fold(chained([release(1, 7), finished(1), release(2, 7), release(3, 8)]))
    assert continue_or_start(state, "hello", artifact(7)) == Continuation("r2", resumed=True)
    assert continue_or_start(state, "hello", artifact(8)) == Continuation("r3", resumed=True)
    assert continue_or_start(state, "hello", artifact(9)) == Continuation("r4", resumed=False)


def test_a_finished_release_is_not_taken_up_again() -> None:
    state = fold(chained([release(1), finished(1)]))
    assert continue_or_start(state, "hello", artifact(1)) == Continuation("r2", resumed=False)


def test_release_ids_count_on_by_number_per_service() -> None:
    assert next_release_id(State(), "hello") == "r1"
    state = fold(chained([release(number) for number in range(1, 11)]))
    assert next_release_id(state, "hello") == "r11"
    assert next_release_id(state, "other") == "r1"


# ---- what should be there ------------------------------------------------------------------------


def stable_group(number: int, weight: int = 100, role: Role = Role.STABLE) -> Group:
    return Group(f"r{number}", artifact(number), 2, weight, role)


def test_stable_alone_has_all_traffic() -> None:
    assert desired(prod(promotion(1)), NOON) == FleetSpec((stable_group(1),))


def test_the_warm_group_is_wanted_without_traffic_until_its_time_is_over() -> None:
    state = prod(promotion(1), promotion(2))
    both = FleetSpec((stable_group(2), stable_group(1, 0, Role.WARM)))
    assert desired(state, LATER - timedelta(microseconds=1)) == both
    assert desired(state, LATER) == FleetSpec((stable_group(2),))


def test_during_a_rollout_its_step_is_wanted_and_before_its_first_step_stable() -> None:
    begun = prod(promotion(1), rollout(2))
    assert desired(begun, NOON) == FleetSpec((stable_group(1),))
    stepped = prod(promotion(1), rollout(2), line("r2", StepStarted(0, step(1, 2))))
    assert desired(stepped, NOON) == step(1, 2).spec


def test_nothing_is_wanted_where_nothing_was_promoted_or_all_went_down() -> None:
    assert desired(prod(rollout(1)), NOON) == FleetSpec()
    assert desired(prod(promotion(1), line("r1", WentDown())), NOON) == FleetSpec()


def test_roll_back_goes_to_the_newest_other_artifact_first_and_names_each_once() -> None:
    again = Promoted(replace(deployed(4), artifact=artifact(1)), None)
    state = prod(promotion(1), promotion(2), promotion(3), [rollout(4), line("r4", again)])
    assert [one.release for one in roll_back_target(state)] == ["r3", "r2"]
    after = prod(promotion(1), promotion(2), [rollout(4), line("r4", again)], promotion(5))
    assert [one.release for one in roll_back_target(after)] == ["r4", "r2"]


def test_nothing_vetted_means_nothing_to_go_back_to() -> None:
    assert roll_back_target(prod(promotion(1))) == ()
    assert roll_back_target(prod(rollout(1))) == ()


# ---- properties ----------------------------------------------------------------------------------

numbers = st.integers(1, 4)
bodies: st.SearchStrategy[tuple[int, Body]] = st.one_of(
    st.tuples(numbers, numbers.map(lambda n: StepStarted(n, step(n, n + 1)))),
    st.tuples(numbers, numbers.map(lambda n: Promoted(deployed(n), LATER))),
    st.tuples(numbers, numbers.map(lambda n: Promoted(deployed(n), None))),
    st.tuples(numbers, st.just(Withdrawn(Verdict.ROLL_BACK, "bad"))),
    st.tuples(numbers, numbers.map(lambda n: RolledBack(deployed(n), "asked for", "ada"))),
    st.tuples(numbers, numbers.map(Scaled)),
    st.tuples(numbers, st.sampled_from([WarmEnded(), WentDown(), Healed("x"), Sampled(sample(1))])),
    st.tuples(numbers, numbers.map(lambda n: RolloutStarted(PROD, artifact(n), n, ""))),
)
releases = st.lists(numbers.map(release), max_size=3)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Any order of events after a first rollout: also those that no flow would write."""
    drawn = draw(st.lists(bodies, max_size=15))
    told = [line(f"r{number}", body) for number, body in drawn]
    return chained([rollout(1), *draw(releases), *told])


@given(histories(), st.data())
def test_fold_is_a_left_fold(events: Sequence[Event], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(events)))
    first = fold(events[:cut])
    kept = replace(first)
    assert fold(events) == fold(events[cut:], first)
    assert first == kept == fold(events[:cut])
    assert fold(events) == fold(one for one in events if one.kind not in TOLD_ONLY)


@given(histories())
def test_whatever_happened_the_desired_fleet_is_a_fleet_and_back_never_means_here(
    events: Sequence[Event],
) -> None:
    for cut in range(1, len(events) + 1):
        state = fold(events[:cut]).environments["hello", "prod"]
        for now in (NOON, LATER, LATER + timedelta(days=1)):
            assert sum(desired(state, now).weights.values()) in (0, 100)
        back = [one.artifact.digest for one in roll_back_target(state)]
        assert len(set(back)) == len(back)
        assert state.stable is None or state.stable.artifact.digest not in back
        assert not state.down or (state.stable, state.warm, state.rollout) == (None, None, None)
