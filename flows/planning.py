"""Planning: what a release would do, step by step and action by action, without doing it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from flows.barriers import in_the_way
from flows.policies import check_policies
from flows.standing import bases_in_force
from flows.words import duration, wait_words
from tasks import platforms
from tasks.adapters.service_file import read_service
from tasks.bake.bakery import known_artifact
from tasks.errors import InvalidInputError
from tasks.journal.rules import (
    Deployed,
    EnvironmentState,
    State,
    continue_or_start,
    desired,
    fold,
)
from tasks.model import (
    Action,
    Artifact,
    FleetSpec,
    FleetStatus,
    Gate,
    Group,
    Role,
)
from tasks.rollout.rules import plan
from tasks.rollout.simulation import after
from tasks.rollout.strategies import steps
from tasks.service import EnvironmentSpec, ServiceSpec

UNBAKED = "sha256:" + "0" * 64


@dataclass(frozen=True)
class PlannedStep:
    """One step: its name, the actions it takes, and the gate that must open before the next."""

    name: str
    actions: tuple[Action, ...]
    gate: Gate


@dataclass(frozen=True)
class EnvironmentPlan:
    """What would happen in one environment. No steps: nothing. `digest` is empty where it must first be baked. Neighbours of the
    same `wave` happen at the same time."""

    service: str
    environment: str
    release: str
    digest: str
    steps: tuple[PlannedStep, ...]
    wave: str = ""


def planned(path: Path, to: str) -> list[EnvironmentPlan]:
    """For every environment up to `to`. Bakes nothing: an artifact that is not known yet has no digest to show."""
    spec, folder = read_service(path)
    check_policies(spec, environments_until(spec, to))
    state = fold(platforms.journal().events(spec.service))
    followed = bases_in_force(state, spec.service)
    known = known_artifact(spec, folder, platforms.store_for(spec), followed)
    artifact = known or Artifact(spec.service, UNBAKED, spec.repository or "")
    release = continue_or_start(state, spec.service, artifact).release
    places = spec.environments[: len(environments_until(spec, to))]
    return [_planned(place, spec, state, artifact, release) for place in places]


def environments_until(spec: ServiceSpec, last: str) -> list[str]:
    """Names of the environments a release passes, in order; all if `last` is empty."""
    names = [place.name for place in spec.environments]
    if last and last not in names:
        raise InvalidInputError(
            f"{spec.service} has no environment {last!r}; it has {', '.join(names)}"
        )
    return names[: names.index(last) + 1] if last else names


def _planned(
    place: EnvironmentSpec, spec: ServiceSpec, state: State, artifact: Artifact, release: str
) -> EnvironmentPlan:
    here = spec.place(place)
    there = state.environments.get((spec.service, place.name))
    status = platforms.connect(here.platform).fleet.read(here)
    gates = tuple(_gates(spec, place, datetime.now(UTC)))
    chosen = tuple(_steps(place, there, artifact, release, status, gates))
    return EnvironmentPlan(
        spec.service,
        place.name,
        release,
        "" if artifact.digest == UNBAKED else artifact.digest,
        chosen,
        place.wave or "",
    )


def _steps(
    place: EnvironmentSpec,
    there: EnvironmentState | None,
    artifact: Artifact,
    release: str,
    status: FleetStatus,
    gates: Sequence[PlannedStep],
) -> Iterator[PlannedStep]:
    stable = there.stable if there else None
    now = datetime.now(UTC)
    if there is not None and (repairs := _actions(desired(there, now), status)):
        yield PlannedStep("bring back what has drifted", repairs, Gate.READY)
        status = _done(status, repairs)
    if stable and stable.artifact.digest == artifact.digest:
        if stable.replicas != place.replicas:
            yield from gates
            yield _scaled(replace(stable, replicas=place.replicas), stable, status)
        return
    yield from gates
    serving = serving_group(stable)
    for step in steps(place.strategy, serving, artifact, release, place.replicas):
        actions = _actions(step.spec, status)
        yield PlannedStep(step.name, actions, step.gate)
        status = _done(status, actions)


def _gates(spec: ServiceSpec, place: EnvironmentSpec, now: datetime) -> Iterator[PlannedStep]:
    """What it would wait for in front of an environment, in this order, as things are now: a freeze may be over by then."""
    yield from _soaks(spec.before(place.name))
    if place.needs_approval:
        yield PlannedStep("wait for an approval", (), Gate.APPROVE)
    for one in in_the_way(spec, place, now):
        yield PlannedStep(f"wait for {wait_words(one.wait)}", (), Gate.HOLD)


def _soaks(before: Sequence[EnvironmentSpec]) -> Iterator[PlannedStep]:
    longest = max(before, key=lambda one: one.soak_seconds, default=None)
    if longest and longest.soak_seconds:
        words = f"be in use in {longest.name} for {duration(longest.soak_seconds)}"
        yield PlannedStep(words, (), Gate.HOLD)


def _scaled(to: Deployed, stable: Deployed, status: FleetStatus) -> PlannedStep:
    """The same artifact is stable here: only the number of its instances changes."""
    name = f"scale from {stable.replicas} to {to.replicas} instances"
    return PlannedStep(name, _actions(FleetSpec((_serving(to),)), status), Gate.READY)


def serving_group(stable: Deployed | None) -> Group | None:
    """The group that has all the traffic now."""
    return _serving(stable) if stable else None


def _serving(stable: Deployed) -> Group:
    return Group(stable.release, stable.artifact, stable.replicas, 100, Role.STABLE)


def _actions(spec: FleetSpec, status: FleetStatus) -> tuple[Action, ...]:
    wanted = {group.artifact.digest for group in spec.groups}
    there = {group.artifact.digest for group in status.groups}
    return plan(spec, status, frozenset(wanted | there))


def _done(status: FleetStatus, actions: tuple[Action, ...]) -> FleetStatus:
    for action in actions:
        status = after(status, action, datetime.now(UTC))
    return status
