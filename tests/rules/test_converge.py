"""Converge, by example: in a world in memory."""

from dataclasses import replace

import pytest

from tasks.adapters.memory import World
from tasks.adapters.memory_faults import Moment
from tasks.adapters.memory_traffic import Behaviour
from tasks.errors import LateWriterError, NotReadyError, TransientError
from tasks.model import (
    Action,
    EnsureGroup,
    Environment,
    FleetSpec,
    FleetStatus,
    Group,
    Health,
    Role,
    ShiftTraffic,
)
from tasks.rollout.converge import converge
from tasks.rollout.rules import plan
from tests.support.fleets import ALL, DIGESTS, artifact, running

HERE = Environment("hello", "production", "memory")
STABLE = Group("r1", artifact(DIGESTS[0]), 2, 100, Role.STABLE)
CANARY = Group("r2", artifact(DIGESTS[1]), 1, 0, Role.CANARY)


class Forgetful:
    """A platform that says yes and does nothing."""

    def __init__(self, status: FleetStatus) -> None:
        self.status = status
        self.asked: list[Action] = []

    def read(self, environment: Environment) -> FleetStatus:
        return self.status

    def apply(self, environment: Environment, action: Action, token: int) -> None:
        self.asked.append(action)

    def down(self, environment: Environment, token: int) -> None:
        raise AssertionError("converge never stops everything")


def test_it_does_what_the_plan_says_in_that_order() -> None:
    world, spec = World(), FleetSpec((STABLE, CANARY))
    expected, told = plan(spec, FleetStatus(), ALL), list[Action]()
    reached = converge(world.fleet, HERE, spec, 1, ALL, on_action=told.append)
    assert tuple(world.applied) == tuple(told) == expected
    assert {group.name: group.ready for group in reached.groups} == {"r1": 2, "r2": 1}


def test_the_heartbeat_comes_before_each_action_and_can_stop_it() -> None:
    world, spec = World(), FleetSpec((STABLE, CANARY))

    def heartbeat() -> None:
        if world.applied:
            raise LateWriterError("the lease is gone")

    with pytest.raises(LateWriterError, match="the lease is gone"):
        converge(world.fleet, HERE, spec, 1, ALL, heartbeat=heartbeat)
    assert world.applied == [EnsureGroup(STABLE)]


def test_a_platform_that_does_not_do_what_it_says_is_given_up_on_by_name_of_the_action() -> None:
    fleet = Forgetful(FleetStatus())
    with pytest.raises(TransientError, match="keeps coming back: start r1 until 2 instances"):
        converge(fleet, HERE, FleetSpec((STABLE,)), 1, ALL, rounds=3)
    assert fleet.asked == [EnsureGroup(STABLE)] * 3


def test_a_candidate_that_never_gets_ready_leaves_stable_serving_alone() -> None:
    world = World()
    world.behaviours[CANARY.artifact.digest] = Behaviour(becomes_ready=False, last_words="no key")
    converge(world.fleet, HERE, FleetSpec((STABLE,)), 1, ALL)
    with pytest.raises(NotReadyError, match="no key"):
        converge(world.fleet, HERE, FleetSpec((STABLE, CANARY)), 1, ALL)
    reached = converge(world.fleet, HERE, FleetSpec((STABLE,)), 1, ALL)
    assert [(group.name, group.weight) for group in reached.groups] == [("r1", 100)]


def test_a_late_writer_changes_nothing() -> None:
    world = World()
    before = converge(world.fleet, HERE, FleetSpec((STABLE,)), 2, ALL)
    with pytest.raises(LateWriterError):
        converge(world.fleet, HERE, FleetSpec((STABLE, CANARY)), 1, ALL)
    assert world.fleet.read(HERE) == before


@pytest.mark.parametrize("moment", Moment)
def test_an_action_that_failed_is_finished_by_converging_again(moment: Moment) -> None:
    world, spec = World(), FleetSpec((STABLE, CANARY))
    world.fail(1, moment)
    with pytest.raises(TransientError):
        converge(world.fleet, HERE, spec, 1, ALL)
    reached = converge(world.fleet, HERE, spec, 1, ALL)
    assert {group.name: len(group.instances) for group in reached.groups} == {"r1": 2, "r2": 1}


def test_a_bad_canary_loses_its_traffic_although_stable_cannot_be_completed() -> None:
    world = World()
    half, canary = replace(STABLE, weight=50), replace(CANARY, weight=50)
    world.set_status(HERE, FleetStatus((running(half), running(canary))))
    world.set_health(HERE, "r1-0", Health.DEAD)
    world.behaviours[STABLE.artifact.digest] = Behaviour(becomes_ready=False)
    with pytest.raises(NotReadyError):
        converge(world.fleet, HERE, FleetSpec((STABLE,)), 1, ALL)
    assert world.applied == [ShiftTraffic((("r1", 100),))]
