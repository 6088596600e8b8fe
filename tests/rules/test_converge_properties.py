"""Rollouts that crash anywhere, on fleets that break meanwhile: invariants 2 to 5, and the way back to stable."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

from hypothesis import event, given, settings
from hypothesis import strategies as st

from tasks.adapters.memory import World
from tasks.adapters.memory_faults import Crash, Moment
from tasks.errors import BakewellError, NotAdmittedError, UnsafeActionError
from tasks.model import (
    Action,
    Environment,
    FleetSpec,
    FleetStatus,
    Group,
    Health,
    Instance,
    Role,
    Step,
)
from tasks.rollout.converge import converge
from tasks.rollout.rules import plan
from tasks.rollout.strategies import steps
from tasks.service import AllAtOnce, BlueGreen, Canary, Strategy
from tests.support.fleets import (
    ALL,
    DIGESTS,
    admitted_sets,
    artifact,
    running,
    somebody_could_serve,
    somebody_serves,
    specs,
    statuses,
)

HERE = Environment("hello", "production", "memory")
OLD, NEW = artifact(DIGESTS[0]), artifact(DIGESTS[1])
STABLE = Group("r1", OLD, 2, 100, Role.STABLE)
many = settings(max_examples=150, deadline=None)


@dataclass(frozen=True)
class Trouble:
    """What goes wrong during one rollout: a fault at the nth action, and what becomes of instances before the nth read."""

    nth: int
    moment: Moment
    crash: bool
    losses: dict[int, tuple[int, Health]] = field(default_factory=dict)


class Unlucky:
    """A fleet whose instances fall ill, or get well, between two actions."""

    def __init__(self, world: World, losses: dict[int, tuple[int, Health]]) -> None:
        self.world, self.losses, self.reads = world, losses, 0

    def read(self, environment: Environment) -> FleetStatus:
        self.reads += 1
        if found := self.losses.get(self.reads):
            lose(self.world, *found)
        return self.world.fleet.read(environment)

    def apply(self, environment: Environment, action: Action, token: int) -> None:
        self.world.fleet.apply(environment, action, token)

    def down(self, environment: Environment, token: int) -> None:
        self.world.fleet.down(environment, token)


def lose(world: World, which: int, health: Health) -> None:
    instances = list(instances_of(world.fleet.read(HERE)))
    if instances:
        world.set_health(HERE, instances[which % len(instances)].name, health)


def instances_of(status: FleetStatus) -> Iterator[Instance]:
    return (one for group in status.groups for one in group.instances)


def watched(status: FleetStatus, admitted: frozenset[str]) -> World:
    """A world that checks invariants 2 and 5 at every smallest change."""
    world = World()
    world.set_status(HERE, status)

    def watch(before: FleetStatus, after: FleetStatus) -> None:
        for digests in (admitted, ALL):
            assert somebody_serves(after, digests) or not somebody_serves(before, digests)
            assert somebody_could_serve(after, digests) or not somebody_could_serve(before, digests)
        assert set(world.started) <= admitted

    world.watch = watch
    return world


def strategies() -> st.SearchStrategy[Strategy]:
    weights = st.sets(st.integers(1, 99), min_size=1, max_size=3).map(lambda w: tuple(sorted(w)))
    sizes = st.integers(1, 3)
    canaries = st.builds(Canary, weights=weights, replicas=sizes, baseline=st.integers(0, 2))
    return st.one_of(canaries, canaries, st.just(BlueGreen()), st.just(AllAtOnce()))


def losses() -> st.SearchStrategy[dict[int, tuple[int, Health]]]:
    ills = st.tuples(st.integers(0, 9), st.sampled_from(Health))
    return st.dictionaries(st.integers(1, 12), ills, max_size=4)


def troubles() -> st.SearchStrategy[Trouble]:
    return st.builds(Trouble, st.integers(1, 16), st.sampled_from(Moment), st.booleans(), losses())


def rollout(world: World, way: tuple[Step, ...], trouble: Trouble) -> bool:
    """Take all steps, or as many as the trouble allows. Whether all were taken."""
    fleet = Unlucky(world, trouble.losses)
    world.fail(trouble.nth, trouble.moment, Crash() if trouble.crash else None)
    try:
        for step in way:
            converge(fleet, HERE, step.spec, 1, ALL)
    except (Crash, BakewellError):
        event(f"stopped {trouble.moment.value} its effect")
        return False
    finally:
        world.calm()
    return True


@many
@given(strategies(), st.integers(1, 4), troubles())
def test_after_a_crash_anywhere_recovery_returns_all_traffic_to_stable_alone(
    strategy: Strategy, replicas: int, trouble: Trouble
) -> None:
    world = watched(FleetStatus((running(STABLE),)), ALL)
    rollout(world, steps(strategy, STABLE, NEW, "r2", replicas), trouble)
    reached = converge(world.fleet, HERE, FleetSpec((STABLE,)), 2, ALL)
    assert [(group.name, group.artifact, group.weight) for group in reached.groups] == [
        ("r1", OLD, 100)
    ]
    assert [one.health for one in instances_of(reached)] == [Health.READY] * 2
    assert plan(FleetSpec((STABLE,)), reached, ALL) == ()


@many
@given(strategies(), st.integers(1, 4), troubles(), troubles())
def test_a_recovery_that_crashes_is_recovered_by_the_next(
    strategy: Strategy, replicas: int, first: Trouble, second: Trouble
) -> None:
    world = watched(FleetStatus((running(STABLE),)), ALL)
    rollout(world, steps(strategy, STABLE, NEW, "r2", replicas), first)
    world.fail(second.nth, second.moment, Crash() if second.crash else None)
    for token in (2, 3, 4):
        with suppress(Crash, BakewellError):
            converge(Unlucky(world, second.losses), HERE, FleetSpec((STABLE,)), token, ALL)
    world.calm()
    reached = converge(world.fleet, HERE, FleetSpec((STABLE,)), 5, ALL)
    assert {group.name: (group.weight, group.ready) for group in reached.groups} == {"r1": (100, 2)}


@many
@given(strategies(), st.integers(1, 4), troubles())
def test_an_interrupted_rollout_can_also_be_finished(
    strategy: Strategy, replicas: int, trouble: Trouble
) -> None:
    world = watched(FleetStatus((running(STABLE),)), ALL)
    way = steps(strategy, STABLE, NEW, "r2", replicas)
    rollout(world, way, trouble)
    reached = converge(world.fleet, HERE, way[-1].spec, 2, ALL)
    assert {group.name: group.weight for group in reached.groups} == {"r2": 100, "r1": 0}


@many
@given(strategies(), st.integers(1, 4))
def test_who_was_judged_is_who_is_promoted(strategy: Strategy, replicas: int) -> None:
    world = watched(FleetStatus((running(STABLE),)), ALL)
    way, seen = steps(strategy, STABLE, NEW, "r2", replicas), list[set[str]]()
    for step in way:
        found = converge(world.fleet, HERE, step.spec, 1, ALL).group("r2")
        assert found is not None
        seen.append({one.name for one in found.instances})
    promoted = seen.pop()
    for judged in seen:
        assert judged <= promoted if len(judged) <= replicas else promoted <= judged
    biggest = max(replicas, *map(len, seen))
    assert world.started.count(NEW.digest) == biggest, "a judged instance was re-created"


@many
@given(strategies(), st.integers(1, 4))
def test_stable_is_the_same_instances_from_the_first_step_to_the_way_back(
    strategy: Strategy, replicas: int
) -> None:
    world = watched(FleetStatus((running(STABLE),)), ALL)
    before = set(instances_of(world.fleet.read(HERE)))
    for step in steps(strategy, STABLE, NEW, "r2", replicas):
        converge(world.fleet, HERE, step.spec, 1, ALL)
    reached = converge(world.fleet, HERE, FleetSpec((STABLE,)), 1, ALL)
    assert set(instances_of(reached)) == before


@many
@given(st.data(), admitted_sets(), troubles())
def test_converging_any_fleet_keeps_serving_starts_only_the_admitted_and_comes_to_rest(
    data: st.DataObject, admitted: frozenset[str], trouble: Trouble
) -> None:
    spec = data.draw(specs())
    world = watched(data.draw(statuses(spec)), admitted)
    world.fail(trouble.nth, trouble.moment, Crash() if trouble.crash else None)
    with suppress(Crash, BakewellError):
        converge(Unlucky(world, trouble.losses), HERE, spec, 1, admitted)
    world.calm()
    try:
        reached = converge(world.fleet, HERE, spec, 2, admitted)
    except (NotAdmittedError, UnsafeActionError) as refusal:
        event(f"refused: {type(refusal).__name__}")
        return
    event("reached")
    applied = len(world.applied)
    assert converge(world.fleet, HERE, spec, 2, admitted) == reached
    assert len(world.applied) == applied


@many
@given(st.data(), st.lists(st.integers(0, 9), max_size=6))
def test_what_dies_between_the_plan_and_the_action_never_leads_to_an_outage(
    data: st.DataObject, victims: list[int]
) -> None:
    """The planner cannot know; the platform's own check is the last line."""
    spec = data.draw(specs(routing=True))
    world, left = watched(data.draw(statuses(spec)), ALL), list(victims)

    def kill(action: Action) -> None:
        if left:
            lose(world, left.pop(), Health.DEAD)

    with suppress(BakewellError):
        converge(world.fleet, HERE, spec, 1, ALL, on_action=kill)
    reached = converge(world.fleet, HERE, spec, 1, ALL)
    assert {group.name: group.weight for group in reached.groups} == spec.weights


@many
@given(st.sampled_from(Moment), st.integers(1, 12))
def test_a_tampered_stable_group_is_replaced_without_an_outage_wherever_that_crashes(
    moment: Moment, nth: int
) -> None:
    there = replace(running(STABLE), artifact=artifact(DIGESTS[2]))
    world = watched(FleetStatus((there,)), frozenset({OLD.digest}))
    world.fail(nth, moment, Crash())
    with suppress(Crash):
        converge(world.fleet, HERE, FleetSpec((STABLE,)), 1, frozenset({OLD.digest}))
    world.calm()
    reached = converge(world.fleet, HERE, FleetSpec((STABLE,)), 2, frozenset({OLD.digest}))
    assert [(group.name, group.artifact, group.weight) for group in reached.groups] == [
        ("r1", OLD, 100)
    ]
