"""Random fleets for property tests: what could be desired, and anything that could be there."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from hypothesis import strategies as st

from tasks.model import (
    Artifact,
    FleetSpec,
    FleetStatus,
    Group,
    GroupStatus,
    Health,
    Instance,
    Role,
)

NAMES: Final = ("r1", "r2", "r2-baseline", "r3", "r4")
DIGESTS: Final = tuple(f"sha256:{letter * 64}" for letter in "abc")
ALL: Final = frozenset(DIGESTS)
START: Final = datetime(2026, 1, 1, tzinfo=UTC)


def artifact(digest: str) -> Artifact:
    return Artifact("hello", digest, "memory:hello")


def artifacts() -> st.SearchStrategy[Artifact]:
    return st.sampled_from(DIGESTS).map(artifact)


def admitted_sets() -> st.SearchStrategy[frozenset[str]]:
    return st.one_of(st.just(ALL), st.frozensets(st.sampled_from(DIGESTS)))


@st.composite
def specs(draw: st.DrawFn, routing: bool | None = None) -> FleetSpec:
    """Any valid spec. `routing`: True = weights sum to 100, False = to 0, None = either."""
    least = 1 if routing else 0
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=least, max_size=4))
    if routing is None:
        routing = bool(names) and draw(st.booleans())
    weights = draw(_weights(len(names))) if routing else [0] * len(names)
    groups = (
        Group(
            name,
            draw(artifacts()),
            draw(st.integers(1, 3)),
            weight,
            draw(st.sampled_from(Role)),
        )
        for name, weight in zip(names, weights, strict=True)
    )
    return FleetSpec(tuple(groups))


def _weights(count: int) -> st.SearchStrategy[list[int]]:
    """Shares of 100, zeros included."""
    cuts = st.lists(st.integers(0, 100), min_size=count - 1, max_size=count - 1).map(sorted)
    return cuts.map(lambda c: [b - a for a, b in zip([0, *c], [*c, 100], strict=True)])


class Likeness(StrEnum):
    """How much a group that is there is like the one that is wanted under its name."""

    COMPLETE = "complete"
    BROKEN = "broken"
    TAMPERED = "tampered"


@st.composite
def group_statuses(draw: st.DrawFn, name: str, spec: FleetSpec) -> GroupStatus:
    wanted = spec.group(name) or Group(
        name, draw(artifacts()), draw(st.integers(1, 3)), 0, Role.WARM
    )
    weight = draw(st.sampled_from([wanted.weight, 0, 0, 100, 30]))
    like = draw(st.sampled_from(Likeness))
    if like is Likeness.COMPLETE:
        return running(replace(wanted, weight=weight))
    runs = draw(artifacts()) if like is Likeness.TAMPERED else wanted.artifact
    healths = draw(st.lists(st.sampled_from([Health.READY, *Health]), max_size=4))
    ages = draw(st.permutations(range(len(healths))))
    instances = (
        Instance(f"{name}-{number}", health, f"{name}:{number}", START + timedelta(seconds=age))
        for number, (health, age) in enumerate(zip(healths, ages, strict=True))
    )
    return GroupStatus(name, runs, weight, tuple(instances))


@st.composite
def statuses(draw: st.DrawFn, spec: FleetSpec) -> FleetStatus:
    """Anything: missing, partial, broken, foreign and tampered groups, weights of any kind."""
    wanted = [group.name for group in spec.groups if draw(st.integers(0, 4))]
    others = [name for name in NAMES if not spec.group(name)]
    foreign = draw(st.lists(st.sampled_from(others), unique=True, max_size=2))
    return FleetStatus(tuple(draw(group_statuses(name, spec)) for name in [*wanted, *foreign]))


def running(group: Group) -> GroupStatus:
    """The group exactly as it should be."""
    instances = tuple(
        Instance(f"{group.name}-{number}", Health.READY, f"{group.name}:{number}", START)
        for number in range(group.replicas)
    )
    return GroupStatus(group.name, group.artifact, group.weight, instances)


def somebody_serves(status: FleetStatus, admitted: frozenset[str]) -> bool:
    """Invariant 5's subject: a group that is ready, admitted and has traffic."""
    return any(
        group.weight > 0 and group.ready > 0 and group.artifact.digest in admitted
        for group in status.groups
    )


def somebody_could_serve(status: FleetStatus, admitted: frozenset[str]) -> bool:
    return any(group.ready > 0 and group.artifact.digest in admitted for group in status.groups)
