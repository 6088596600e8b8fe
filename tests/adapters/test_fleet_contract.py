"""What every platform must do (the Fleet port). One suite for all of them.

To hold another platform to it, write a context manager that yields a `Ground` and add it to GROUNDS.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tasks.adapters.memory import World
from tasks.adapters.memory_traffic import Behaviour as MemoryBehaviour
from tasks.errors import LateWriterError, NotReadyError, RefusedError, UnsafeActionError
from tasks.model import (
    Action,
    Artifact,
    DrainGroup,
    EnsureGroup,
    Environment,
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
from tasks.rollout.converge import converge
from tests.support.docker_engine import TestEngine, docker_engine
from tests.support.docker_ground import docker_ground
from tests.support.grounds import LAST_WORDS, Behaviour, Ground
from tests.support.process_ground import process_ground

TOKEN = 7


@contextmanager
def memory_ground(folder: Path) -> Iterator[Ground]:
    world = World()
    environment = Environment("hello", "contract", "memory")

    def make_artifact(version: str, behaviour: Behaviour) -> Artifact:
        digest = f"sha256:{hashlib.sha256(f'{version} {behaviour}'.encode()).hexdigest()}"
        if behaviour is Behaviour.NEVER_READY:
            world.behaviours[digest] = MemoryBehaviour(becomes_ready=False, last_words=LAST_WORDS)
        return Artifact("hello", digest, "memory:hello")

    def kill(address: str) -> None:
        found = world.find(address)
        assert found is not None
        world.set_health(environment, found[0].name, Health.DEAD)

    yield Ground(world.fleet, environment, make_artifact, kill)


GROUNDS = [
    pytest.param(memory_ground, id="memory"),
    pytest.param(process_ground, id="process", marks=pytest.mark.engine),
    pytest.param(docker_ground, id="docker", marks=pytest.mark.engine),
]


@pytest.fixture(scope="module")
def engine() -> Iterator[TestEngine]:
    """One for all tests on it."""
    with docker_engine() as found:
        yield found


@pytest.fixture(params=GROUNDS)
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    enter: Callable[[Path], AbstractContextManager[Ground]] = request.param
    if request.param is docker_ground:
        enter = partial(docker_ground, request.getfixturevalue("engine"))
    with enter(tmp_path) as found:
        yield found
        found.fleet.down(found.environment, TOKEN + 100)


class Scene:
    """Two versions of one service, and short words for what is done to them."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.one = Group("r1", ground.make_artifact("1", Behaviour.HEALTHY), 1, 100, Role.STABLE)
        self.two = Group("r2", ground.make_artifact("2", Behaviour.HEALTHY), 1, 0, Role.CANARY)

    def read(self) -> FleetStatus:
        return self.ground.fleet.read(self.ground.environment)

    def group(self, name: str) -> GroupStatus:
        found = self.read().group(name)
        assert found is not None, f"{name} is not there"
        return found

    def names(self, name: str) -> set[str]:
        return {one.name for one in self.group(name).instances if one.health is Health.READY}

    def do(self, *actions: Action, token: int = TOKEN) -> None:
        for action in actions:
            self.ground.fleet.apply(self.ground.environment, action, token)

    def serve(self, *groups: Group) -> None:
        """Start the groups and give all traffic to the first."""
        self.do(*map(EnsureGroup, groups), ShiftTraffic(((groups[0].name, 100),)))


@pytest.fixture
def scene(ground: Ground) -> Scene:
    return Scene(ground)


def test_an_environment_that_was_never_used_is_empty(scene: Scene) -> None:
    assert scene.read() == FleetStatus()


def test_an_ensured_group_is_ready_and_unrouted(scene: Scene) -> None:
    scene.do(EnsureGroup(replace(scene.one, replicas=2)))
    found = scene.group("r1")
    assert found.artifact.digest == scene.one.artifact.digest
    assert (found.ready, found.weight) == (2, 0)
    assert len({one.address for one in found.instances} - {""}) == 2


def test_ensuring_again_starts_nothing(scene: Scene) -> None:
    scene.do(EnsureGroup(scene.one))
    before = scene.group("r1")
    scene.do(EnsureGroup(scene.one))
    assert scene.group("r1") == before


def test_growing_a_group_keeps_the_instances_it_has(scene: Scene) -> None:
    scene.do(EnsureGroup(scene.one))
    judged = scene.names("r1")
    scene.do(EnsureGroup(replace(scene.one, replicas=2)))
    assert scene.group("r1").ready == 2
    assert judged < scene.names("r1")


def test_ensuring_fewer_stops_nothing(scene: Scene) -> None:
    scene.do(EnsureGroup(replace(scene.one, replicas=2)), EnsureGroup(scene.one))
    assert scene.group("r1").ready == 2


def test_a_group_is_never_mixed_from_two_artifacts(scene: Scene) -> None:
    scene.serve(scene.one)
    judged = scene.names("r1")
    with pytest.raises(RefusedError):
        scene.do(EnsureGroup(replace(scene.one, artifact=scene.two.artifact, replicas=2)))
    assert scene.group("r1").artifact.digest == scene.one.artifact.digest
    assert scene.names("r1") == judged


def test_a_dead_instance_is_seen_and_its_place_taken(scene: Scene) -> None:
    scene.serve(replace(scene.one, replicas=2))
    victim = scene.group("r1").instances[0]
    scene.ground.kill(victim.address)
    assert scene.group("r1").ready == 1
    scene.do(EnsureGroup(replace(scene.one, replicas=2)))
    assert scene.group("r1").ready == 2
    assert victim.name not in scene.names("r1")


def test_what_never_becomes_ready_is_told_with_the_end_of_its_log(scene: Scene) -> None:
    scene.serve(scene.one)
    bad = replace(scene.two, artifact=scene.ground.make_artifact("3", Behaviour.NEVER_READY))
    for _ in range(2):
        with pytest.raises(NotReadyError, match=LAST_WORDS):
            scene.do(EnsureGroup(bad))
    found = scene.read().group("r2")
    left = [one for one in (found.instances if found else ()) if one.health is not Health.DEAD]
    assert len(left) <= bad.replicas, "asking again must not pile up instances"
    assert scene.group("r1").weight == 100


def test_weights_are_read_back_exactly(scene: Scene) -> None:
    scene.serve(scene.one, scene.two)
    scene.do(ShiftTraffic((("r1", 90), ("r2", 10))))
    assert (scene.group("r1").weight, scene.group("r2").weight) == (90, 10)
    scene.do(ShiftTraffic((("r2", 100),)))
    assert (scene.group("r1").weight, scene.group("r2").weight) == (0, 100)


def test_a_routed_environment_has_an_endpoint_and_keeps_it(scene: Scene) -> None:
    scene.serve(scene.one, scene.two)
    endpoint = scene.read().endpoint
    scene.do(ShiftTraffic((("r2", 100),)), DrainGroup("r1"), RemoveGroup("r1"))
    assert endpoint
    assert scene.read().endpoint == endpoint


def test_traffic_is_not_given_to_a_group_that_is_not_there(scene: Scene) -> None:
    scene.serve(scene.one)
    with pytest.raises(RefusedError):
        scene.do(ShiftTraffic((("r9", 100),)))
    assert scene.group("r1").weight == 100


@pytest.mark.parametrize("weights", [(), (("r2", 100),)], ids=["to nobody", "to a dead group"])
def test_the_last_ready_group_is_not_unrouted(
    scene: Scene, weights: tuple[tuple[str, int], ...]
) -> None:
    scene.serve(scene.one, scene.two)
    scene.ground.kill(scene.group("r2").instances[0].address)
    with pytest.raises(UnsafeActionError):
        scene.do(ShiftTraffic(weights))
    assert scene.group("r1").weight == 100


def test_the_last_ready_group_is_not_stopped(scene: Scene) -> None:
    scene.do(EnsureGroup(scene.one))
    judged = scene.names("r1")
    for action in (DrainGroup("r1"), ReplaceInstances(scene.one, tuple(judged))):
        with pytest.raises(UnsafeActionError):
            scene.do(action)
    assert scene.names("r1") == judged


def test_a_routed_group_is_not_drained_although_another_is_ready(scene: Scene) -> None:
    scene.serve(scene.one, scene.two)
    with pytest.raises(UnsafeActionError):
        scene.do(DrainGroup("r1"))
    assert scene.group("r1").ready == 1


def test_a_drained_group_has_no_live_instance_and_is_forgotten_when_removed(scene: Scene) -> None:
    scene.serve(scene.one, scene.two)
    scene.do(DrainGroup("r2"))
    drained = scene.read().group("r2")
    assert all(one.health is Health.DEAD for one in (drained.instances if drained else ()))
    scene.do(RemoveGroup("r2"))
    assert scene.read().group("r2") is None


def test_draining_and_removing_again_changes_nothing(scene: Scene) -> None:
    scene.serve(scene.one, scene.two)
    scene.do(DrainGroup("r2"), DrainGroup("r2"), RemoveGroup("r2"))
    before = scene.read()
    scene.do(DrainGroup("r2"), RemoveGroup("r2"))
    assert scene.read() == before


def test_exactly_the_named_instances_are_replaced_and_then_gone(scene: Scene) -> None:
    three = replace(scene.one, replicas=3)
    scene.serve(three)
    dead, surplus, kept = (one for one in scene.group("r1").instances)
    scene.ground.kill(dead.address)
    for _ in range(2):
        scene.do(ReplaceInstances(scene.one, (dead.name, surplus.name)))
        assert [one.name for one in scene.group("r1").instances] == [kept.name]


def test_a_group_of_the_same_name_can_come_back(scene: Scene) -> None:
    scene.serve(scene.one, scene.two)
    scene.do(DrainGroup("r2"), RemoveGroup("r2"), EnsureGroup(scene.two))
    assert (scene.group("r2").ready, scene.group("r2").weight) == (1, 0)


def test_a_late_writer_is_refused_and_changes_nothing(scene: Scene) -> None:
    scene.serve(scene.one, scene.two)
    scene.do(ShiftTraffic((("r1", 90), ("r2", 10))), token=TOKEN + 1)
    before = scene.read()
    for action in (ShiftTraffic((("r2", 100),)), EnsureGroup(replace(scene.two, replicas=2))):
        with pytest.raises(LateWriterError):
            scene.do(action)
    with pytest.raises(LateWriterError):
        scene.ground.fleet.down(scene.ground.environment, TOKEN)
    assert scene.read() == before


def test_down_leaves_nothing_and_a_fresh_start_is_possible(scene: Scene) -> None:
    scene.serve(scene.one, scene.two)
    scene.ground.fleet.down(scene.ground.environment, TOKEN)
    assert scene.read() == FleetStatus()
    scene.serve(scene.one)
    assert scene.group("r1").ready == 1


def test_converging_reaches_a_spec_and_then_has_nothing_to_do(scene: Scene) -> None:
    admitted = frozenset({scene.one.artifact.digest, scene.two.artifact.digest})
    first, second = FleetSpec((scene.one,)), FleetSpec((replace(scene.two, weight=100),))
    for spec in (first, second):
        converge(scene.ground.fleet, scene.ground.environment, spec, TOKEN, admitted)
        done: list[Action] = []
        there = converge(
            scene.ground.fleet,
            scene.ground.environment,
            spec,
            TOKEN,
            admitted,
            on_action=done.append,
        )
        assert done == []
        assert {group.name: group.weight for group in there.groups} == spec.weights
