"""The planner, by example: what an operator would expect it to do, in order."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tasks.errors import NotAdmittedError, UnsafeActionError
from tasks.model import (
    DrainGroup,
    EnsureGroup,
    FleetSpec,
    FleetStatus,
    Group,
    GroupStatus,
    Health,
    RemoveGroup,
    ReplaceInstances,
    Role,
    ShiftTraffic,
)
from tasks.rollout.rules import plan
from tasks.rollout.simulation import describe
from tests.support.fleets import ALL, DIGESTS, artifact, running

A, B, C = map(artifact, DIGESTS)
STABLE = Group("r1", A, 2, 100, Role.STABLE)
CANARY = Group("r2", B, 1, 0, Role.CANARY)
BASELINE = Group("r2-baseline", A, 1, 0, Role.BASELINE)
PROMOTED = FleetSpec(
    (Group("r2", B, 2, 100, Role.STABLE), replace(STABLE, weight=0, role=Role.WARM))
)


def weighing(group: Group, weight: int) -> Group:
    return replace(group, weight=weight)


def status(*groups: Group) -> FleetStatus:
    return FleetStatus(tuple(running(group) for group in groups))


def losing(found: GroupStatus, count: int, health: Health = Health.DEAD) -> GroupStatus:
    """The first `count` instances have that health now."""
    broken = tuple(replace(one, health=health) for one in found.instances[:count])
    return replace(found, instances=(*broken, *found.instances[count:]))


def test_a_fleet_that_is_as_it_should_be_needs_nothing() -> None:
    assert plan(FleetSpec((STABLE,)), status(STABLE), ALL) == ()


def test_a_first_release_is_started_and_then_routed() -> None:
    assert plan(FleetSpec((STABLE,)), FleetStatus(), ALL) == (
        EnsureGroup(STABLE),
        ShiftTraffic((("r1", 100),)),
    )


def test_a_canary_and_its_baseline_start_without_moving_traffic() -> None:
    spec = FleetSpec((STABLE, CANARY, BASELINE))
    assert plan(spec, status(STABLE), ALL) == (EnsureGroup(CANARY), EnsureGroup(BASELINE))


def test_promotion_scales_the_judged_group_before_it_gets_the_traffic() -> None:
    there = status(weighing(STABLE, 40), weighing(CANARY, 30), weighing(BASELINE, 30))
    assert plan(PROMOTED, there, ALL) == (
        EnsureGroup(PROMOTED.groups[0]),
        ShiftTraffic((("r2", 100),)),
        DrainGroup("r2-baseline"),
        RemoveGroup("r2-baseline"),
    )


def test_a_roll_back_is_a_traffic_change_first() -> None:
    there = status(weighing(STABLE, 50), weighing(CANARY, 50))
    assert plan(FleetSpec((STABLE,)), there, ALL) == (
        ShiftTraffic((("r1", 100),)),
        DrainGroup("r2"),
        RemoveGroup("r2"),
    )


def test_a_roll_back_does_not_wait_for_a_dead_instance_to_be_replaced() -> None:
    there = FleetStatus((losing(running(weighing(STABLE, 50)), 1), running(weighing(CANARY, 50))))
    actions = plan(FleetSpec((STABLE,)), there, ALL)
    assert actions[:2] == (ShiftTraffic((("r1", 100),)), EnsureGroup(STABLE))


def test_a_promotion_never_overloads_a_group_that_is_not_complete() -> None:
    there = FleetStatus((losing(running(weighing(STABLE, 50)), 1), running(weighing(CANARY, 50))))
    assert isinstance(plan(PROMOTED, there, ALL)[0], EnsureGroup)


def test_traffic_leaves_a_canary_that_died_while_it_is_restarted() -> None:
    spec = FleetSpec((weighing(STABLE, 90), weighing(CANARY, 10)))
    there = FleetStatus((running(weighing(STABLE, 90)), losing(running(weighing(CANARY, 10)), 1)))
    assert plan(spec, there, ALL)[:3] == (
        ShiftTraffic((("r1", 100),)),
        EnsureGroup(weighing(CANARY, 10)),
        ShiftTraffic((("r1", 90), ("r2", 10))),
    )


def test_traffic_of_a_dead_stable_never_goes_to_an_unjudged_canary() -> None:
    spec = FleetSpec((weighing(STABLE, 90), weighing(CANARY, 10)))
    there = FleetStatus((losing(running(weighing(STABLE, 90)), 2), running(weighing(CANARY, 10))))
    assert plan(spec, there, ALL)[0] == EnsureGroup(weighing(STABLE, 90))


def test_traffic_of_a_dead_stable_goes_to_the_warm_group_until_it_is_back() -> None:
    spec = FleetSpec((STABLE, Group("r0", C, 1, 0, Role.WARM)))
    there = FleetStatus((losing(running(STABLE), 2), running(spec.groups[1])))
    assert plan(spec, there, ALL)[:3] == (
        ShiftTraffic((("r0", 100),)),
        EnsureGroup(STABLE),
        ShiftTraffic((("r1", 100),)),
    )


def test_a_dead_instance_is_replaced_by_starting_the_new_one_first() -> None:
    there = FleetStatus((losing(running(STABLE), 1),))
    assert plan(FleetSpec((STABLE,)), there, ALL) == (
        EnsureGroup(STABLE),
        ReplaceInstances(STABLE, ("r1-0",)),
    )


def test_scaling_down_stops_broken_instances_first_and_the_oldest_last() -> None:
    found = running(replace(STABLE, replicas=5))
    aged = tuple(
        replace(one, started_at=one.started_at + timedelta(hours=hours))
        for hours, one in enumerate(found.instances)
    )
    there = FleetStatus((losing(replace(found, instances=aged), 1, Health.UNREADY),))
    assert plan(FleetSpec((STABLE,)), there, ALL) == (
        ReplaceInstances(STABLE, ("r1-0", "r1-4", "r1-3")),
    )


def test_an_unadmitted_digest_is_not_started_and_the_message_says_what_to_do() -> None:
    with pytest.raises(
        NotAdmittedError, match=r"bakewell verify memory:hello@sha256:bbb"
    ) as refusal:
        plan(FleetSpec((STABLE, CANARY)), status(STABLE), frozenset({A.digest}))
    assert B.digest in str(refusal.value)


def test_an_unadmitted_digest_that_runs_may_go_on_running() -> None:
    assert plan(FleetSpec((STABLE,)), status(STABLE), frozenset()) == ()


def test_a_spec_without_groups_leaves_the_last_ready_group_serving() -> None:
    there = status(STABLE, replace(CANARY, weight=0))
    assert plan(FleetSpec(), there, ALL) == (DrainGroup("r2"), RemoveGroup("r2"))


def test_traffic_is_not_moved_from_the_only_admitted_group() -> None:
    there = status(weighing(STABLE, 0), weighing(CANARY, 100))
    with pytest.raises(UnsafeActionError, match="last ready and admitted"):
        plan(FleetSpec((STABLE,)), there, frozenset({B.digest}))


def test_a_tampered_canary_is_evicted_and_started_again_from_its_own_digest() -> None:
    spec = FleetSpec((weighing(STABLE, 90), weighing(CANARY, 10)))
    impostor = replace(running(weighing(CANARY, 10)), artifact=C)
    there = FleetStatus((running(weighing(STABLE, 90)), impostor))
    assert plan(spec, there, frozenset({A.digest, B.digest})) == (
        ShiftTraffic((("r1", 100),)),
        DrainGroup("r2"),
        RemoveGroup("r2"),
        EnsureGroup(weighing(CANARY, 10)),
        ShiftTraffic((("r1", 90), ("r2", 10))),
    )


def test_a_tampered_stable_group_is_replaced_through_a_stand_in_without_an_outage() -> None:
    there = FleetStatus((replace(running(STABLE), artifact=C),))
    stand_in = Group("r1-stand-in", A, 2, 0, Role.WARM)
    assert plan(FleetSpec((STABLE,)), there, frozenset({A.digest})) == (
        EnsureGroup(stand_in),
        ShiftTraffic((("r1-stand-in", 100),)),
        DrainGroup("r1"),
        RemoveGroup("r1"),
        EnsureGroup(STABLE),
        ShiftTraffic((("r1", 100),)),
        DrainGroup("r1-stand-in"),
        RemoveGroup("r1-stand-in"),
    )


def test_a_tampered_group_that_is_the_last_one_ready_is_not_stopped_before_another_is() -> None:
    there = FleetStatus((replace(running(weighing(STABLE, 0)), artifact=C),))
    actions = plan(FleetSpec((STABLE,)), there, ALL)
    assert actions[0] == EnsureGroup(Group("r1-stand-in", A, 2, 0, Role.WARM))
    assert actions[1] == DrainGroup("r1")


def test_a_tampered_group_that_alone_serves_is_left_when_its_spec_routes_nothing() -> None:
    there = FleetStatus((replace(running(STABLE), artifact=C),))
    with pytest.raises(UnsafeActionError, match="left as it is"):
        plan(FleetSpec((weighing(STABLE, 0),)), there, ALL)


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        (EnsureGroup(STABLE), "start r1 until 2 instances of aaaaaaaaaaaa are ready"),
        (ShiftTraffic((("r1", 90), ("r2", 10))), "shift traffic: r1 90 %, r2 10 %"),
        (ShiftTraffic(()), "take all groups off the traffic"),
        (DrainGroup("r2"), "drain r2: finish its requests, then stop it"),
        (RemoveGroup("r2"), "remove r2"),
        (
            ReplaceInstances(STABLE, ("r1-0",)),
            "stop 1 instance of r1 that is broken or too many: r1-0",
        ),
    ],
)
def test_each_action_is_said_in_one_plain_sentence(action: EnsureGroup, sentence: str) -> None:
    assert describe(action) == sentence
