"""Strategies: the specs a rollout passes through."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import InvalidInputError
from tasks.model import Artifact, FleetSpec, Gate, Group, Role, Step
from tasks.rollout.strategies import baseline_share, steps
from tasks.service import AllAtOnce, BlueGreen, Canary, Strategy

OLD = Artifact("hello", "sha256:" + "a" * 64, "memory:hello")
NEW = Artifact("hello", "sha256:" + "b" * 64, "memory:hello")
STABLE = Group("r1", OLD, 4, 100, Role.STABLE)


def shape(spec: FleetSpec) -> list[tuple[str, int, int, Role]]:
    return [(group.name, group.replicas, group.weight, group.role) for group in spec.groups]


def strategies() -> st.SearchStrategy[Strategy]:
    weights = st.sets(st.integers(1, 99), min_size=1, max_size=5).map(lambda w: tuple(sorted(w)))
    canaries = st.builds(
        Canary, weights=weights, replicas=st.integers(1, 9), baseline=st.integers(0, 9)
    )
    return st.one_of(canaries, st.just(BlueGreen()), st.just(AllAtOnce()))


def test_a_canary_starts_beside_stable_grows_while_observed_and_is_scaled_to_be_promoted() -> None:
    settings = Canary(weights=(10, 30), replicas=1, baseline=1)
    way = steps(settings, STABLE, NEW, "r2", 4)
    assert [(step.gate, shape(step.spec)) for step in way] == [
        (
            Gate.SMOKE,
            [
                ("r1", 4, 100, Role.STABLE),
                ("r2", 1, 0, Role.CANARY),
                ("r2-baseline", 1, 0, Role.BASELINE),
            ],
        ),
        (
            Gate.OBSERVE,
            [
                ("r1", 4, 80, Role.STABLE),
                ("r2", 1, 10, Role.CANARY),
                ("r2-baseline", 1, 10, Role.BASELINE),
            ],
        ),
        (
            Gate.OBSERVE,
            [
                ("r1", 4, 40, Role.STABLE),
                ("r2", 1, 30, Role.CANARY),
                ("r2-baseline", 1, 30, Role.BASELINE),
            ],
        ),
        (Gate.READY, [("r2", 4, 100, Role.STABLE), ("r1", 4, 0, Role.WARM)]),
    ]


def test_the_baseline_runs_the_stable_artifact() -> None:
    baseline = steps(Canary(), STABLE, NEW, "r2", 4)[0].spec.group("r2-baseline")
    assert baseline is not None
    assert baseline.artifact == OLD


def test_without_a_baseline_the_canary_stands_beside_stable_alone() -> None:
    way = steps(Canary(weights=(10,), baseline=0), STABLE, NEW, "r2", 4)
    assert all(step.spec.group("r2-baseline") is None for step in way)
    assert way[1].spec.weights == {"r1": 90, "r2": 10}


def test_blue_green_tests_a_whole_group_without_traffic_then_switches_and_observes() -> None:
    way = steps(BlueGreen(), STABLE, NEW, "r2", 3)
    assert [(step.gate, shape(step.spec)) for step in way] == [
        (Gate.SMOKE, [("r1", 4, 100, Role.STABLE), ("r2", 3, 0, Role.CANARY)]),
        (Gate.OBSERVE, [("r2", 3, 100, Role.STABLE), ("r1", 4, 0, Role.WARM)]),
    ]


def test_all_at_once_switches_when_the_new_group_is_ready() -> None:
    way = steps(AllAtOnce(), STABLE, NEW, "r2", 3)
    assert [(step.gate, step.spec.weights) for step in way] == [
        (Gate.SMOKE, {"r1": 100, "r2": 0}),
        (Gate.READY, {"r2": 100, "r1": 0}),
    ]


@given(strategies())
def test_a_first_release_starts_whole_without_traffic_then_takes_all(strategy: Strategy) -> None:
    way = steps(strategy, None, NEW, "r1", 3)
    assert [(step.gate, shape(step.spec)) for step in way] == [
        (Gate.SMOKE, [("r1", 3, 0, Role.CANARY)]),
        (Gate.READY, [("r1", 3, 100, Role.STABLE)]),
    ]


@given(strategies())
def test_what_runs_already_takes_no_step(strategy: Strategy) -> None:
    assert steps(strategy, STABLE, OLD, "r2", 4) == ()


@given(strategies())
def test_a_release_name_that_runs_another_artifact_is_refused(strategy: Strategy) -> None:
    with pytest.raises(InvalidInputError, match="one artifact"):
        steps(strategy, STABLE, NEW, "r1", 4)


@given(strategies(), st.integers(1, 9), st.integers(1, 9))
def test_stable_serves_until_the_last_switch_and_then_stays_warm(
    strategy: Strategy, replicas: int, before: int
) -> None:
    stable = Group("r1", OLD, before, 100, Role.STABLE)
    way = steps(strategy, stable, NEW, "r2", replicas)
    assert all(sum(step.spec.weights.values()) == 100 for step in way)
    assert all(step.spec.weights["r1"] > 0 for step in way[:-1])
    assert way[-1].spec.groups == (
        Group("r2", NEW, replicas, 100, Role.STABLE),
        Group("r1", OLD, before, 0, Role.WARM),
    )


@given(strategies())
def test_the_judged_group_keeps_its_name_and_artifact_and_gains_weight(strategy: Strategy) -> None:
    way = steps(strategy, STABLE, NEW, "r2", 4)
    groups = [step.spec.group("r2") for step in way]
    assert {(group.name, group.artifact) for group in groups if group} == {("r2", NEW)}
    assert all(before < after for before, after in pairwise(candidate_weights(way)))
    assert way[0].gate is Gate.SMOKE


def candidate_weights(way: tuple[Step, ...]) -> list[int]:
    return [step.spec.weights["r2"] for step in way]


@given(st.integers(1, 99), st.integers(1, 1000), st.integers(0, 100))
def test_a_baseline_instance_has_the_load_of_a_canary_instance_while_stable_keeps_some(
    weight: int, replicas: int, baseline: int
) -> None:
    share = baseline_share(weight, replicas, baseline)
    assert 0 <= share <= 99 - weight
    if share < 99 - weight:
        assert abs(share - weight * baseline / replicas) <= 0.5
