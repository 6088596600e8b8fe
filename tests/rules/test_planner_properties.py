"""The planner, over random specs and statuses: invariants 2, 3 and 5."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tasks.errors import NotAdmittedError, UnsafeActionError
from tasks.model import (
    Action,
    DrainGroup,
    EnsureGroup,
    FleetSpec,
    FleetStatus,
    Health,
    RemoveGroup,
    ReplaceInstances,
    ShiftTraffic,
)
from tasks.rollout.rules import plan
from tasks.rollout.simulation import after, describe
from tests.support.fleets import (
    ALL,
    START,
    admitted_sets,
    somebody_could_serve,
    somebody_serves,
    specs,
    statuses,
)

Scene = tuple[FleetSpec, FleetStatus]
many = settings(max_examples=150, deadline=None)


def scenes(routing: bool | None = None) -> st.SearchStrategy[Scene]:
    return specs(routing).flatmap(lambda spec: st.tuples(st.just(spec), statuses(spec)))


def moments(
    status: FleetStatus, actions: tuple[Action, ...]
) -> Iterator[tuple[FleetStatus, Action, FleetStatus]]:
    """Before, action, after: if each succeeds."""
    for action in actions:
        then = after(status, action, START)
        yield status, action, then
        status = then


def end(status: FleetStatus, actions: tuple[Action, ...]) -> FleetStatus:
    return [status, *(then for _, _, then in moments(status, actions))][-1]


def planned(scene: Scene, admitted: frozenset[str]) -> tuple[Action, ...]:
    """The plan, or nothing where it is refused: a refusal changes nothing."""
    with suppress(NotAdmittedError, UnsafeActionError):
        actions = plan(*scene, admitted)
        event(f"actions: {min(len(actions), 9)}")
        return actions
    event("refused")
    return ()


@many
@given(scenes(routing=True))
def test_a_plan_reaches_any_spec_that_routes_from_any_status(scene: Scene) -> None:
    spec, status = scene
    reached = end(status, plan(spec, status, ALL))
    assert {group.name: group.weight for group in reached.groups} == spec.weights
    for group in spec.groups:
        found = reached.group(group.name)
        assert found is not None
        assert found.artifact.digest == group.artifact.digest
        assert [one.health for one in found.instances] == [Health.READY] * group.replicas


@many
@given(scenes(), admitted_sets())
def test_a_second_plan_after_the_first_is_empty(scene: Scene, admitted: frozenset[str]) -> None:
    spec, status = scene
    try:
        actions = plan(spec, status, admitted)
    except (NotAdmittedError, UnsafeActionError):
        return
    assert plan(spec, end(status, actions), admitted) == ()


@many
@given(scenes(), admitted_sets())
def test_going_on_from_any_moment_of_a_plan_is_the_rest_of_that_plan(
    scene: Scene, admitted: frozenset[str]
) -> None:
    spec, status = scene
    actions = planned(scene, admitted)
    for number, (_, action, then) in enumerate(moments(status, actions), 1):
        assert len(plan(spec, then, admitted)) == len(actions) - number, describe(action)


@many
@given(scenes(), admitted_sets())
def test_at_every_moment_somebody_ready_and_admitted_stays_routed(
    scene: Scene, admitted: frozenset[str]
) -> None:
    for before, action, then in moments(scene[1], planned(scene, admitted)):
        for digests in (admitted, ALL):
            if somebody_serves(before, digests):
                assert somebody_serves(then, digests), describe(action)
            if somebody_could_serve(before, digests):
                assert somebody_could_serve(then, digests), describe(action)


@many
@given(scenes(), admitted_sets())
def test_nothing_starts_that_is_not_admitted(scene: Scene, admitted: frozenset[str]) -> None:
    for action in planned(scene, admitted):
        if isinstance(action, EnsureGroup):
            assert action.group.artifact.digest in admitted


@many
@given(scenes(routing=True), admitted_sets())
def test_a_spec_that_needs_an_unadmitted_start_is_refused(
    scene: Scene, admitted: frozenset[str]
) -> None:
    spec, status = scene
    ready = {(group.name, group.artifact.digest): group.ready for group in status.groups}
    needed = {
        group.artifact.digest
        for group in spec.groups
        if ready.get((group.name, group.artifact.digest), 0) < group.replicas
    }
    if needed - admitted:
        with pytest.raises((NotAdmittedError, UnsafeActionError)):
            plan(spec, status, admitted)


@many
@given(scenes(), admitted_sets())
def test_starts_come_before_shifts_before_drains_before_removals(
    scene: Scene, admitted: frozenset[str]
) -> None:
    spec, status = scene
    for before, action, _ in moments(status, planned(scene, admitted)):
        match action:
            case EnsureGroup(group):
                found = before.group(group.name)
                assert found is None or found.ready < group.replicas
                assert found is None or found.artifact.digest == group.artifact.digest
            case ShiftTraffic(weights):
                assert sum(weight for _, weight in weights) in (0, 100)
                for name, weight in weights:
                    receiver = before.group(name)
                    assert receiver is not None
                    if weight > receiver.weight:
                        assert receiver.ready > 0
                        assert weight <= spec.weights.get(name, 100) or may_exceed(spec, name)
            case DrainGroup(name):
                leaver = before.group(name)
                assert leaver is not None
                assert leaver.weight == 0
                if spec.group(name) is None and any(spec.weights.values()):
                    assert shares(before) == {n: w for n, w in spec.weights.items() if w}
            case RemoveGroup(name):
                gone = before.group(name)
                assert gone is not None
                assert gone.weight == 0
                assert all(one.health is Health.DEAD for one in gone.instances)


def shares(status: FleetStatus) -> dict[str, int]:
    return {group.name: group.weight for group in status.groups if group.weight}


def may_exceed(spec: FleetSpec, name: str) -> bool:
    """More than its share goes to a group only to relieve a broken one, and never to a canary nobody has judged."""
    group = spec.group(name)
    routes = sum(spec.weights.values()) == 100
    return group is None or not routes or group.role.value != "canary"


@many
@given(scenes(), admitted_sets())
def test_only_broken_or_surplus_instances_of_a_complete_group_are_replaced(
    scene: Scene, admitted: frozenset[str]
) -> None:
    real = {one.name for group in scene[1].groups for one in group.instances}
    for _, action, then in moments(scene[1], planned(scene, admitted)):
        if isinstance(action, ReplaceInstances):
            found = then.group(action.group.name)
            assert set(action.instances) <= real
            assert found is not None
            assert found.ready == action.group.replicas
