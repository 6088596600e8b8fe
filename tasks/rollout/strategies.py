"""Strategies: the fleet specs a rollout passes through, with a gate after each. Pure.

Who was judged is who is promoted (invariant 4): the candidate's group keeps its name, its artifact and its instances
from the first step to the last; only its number of instances and its share of the traffic change.
"""

from dataclasses import replace
from typing import Final

from tasks.errors import InvalidInputError
from tasks.model import Artifact, FleetSpec, Gate, Group, Role, Step
from tasks.service import AllAtOnce, BlueGreen, Canary, Strategy

BASELINE_SUFFIX: Final = "-baseline"


def steps(
    strategy: Strategy, stable: Group | None, candidate: Artifact, release: str, replicas: int
) -> tuple[Step, ...]:
    """The way from `stable` (None: nothing runs yet) to `replicas` instances of the candidate.

    No step at all if the candidate is what runs already: what changes nothing rolls nothing (invariant 10).
    """
    whole = Group(release, candidate, replicas, 0, Role.CANARY)
    if stable is None:
        return _first(whole)
    if stable.artifact.digest == candidate.digest:
        return ()
    if stable.name == release:
        raise InvalidInputError(
            f"release {release} should bring {candidate.short}, but the stable group of that name runs"
            f" {stable.artifact.short}; a release has one artifact: give the new one a new release"
        )
    serving = replace(stable, weight=100, role=Role.STABLE)
    match strategy:
        case Canary():
            return _canary(strategy, serving, whole)
        case BlueGreen():
            return (_start(serving, whole), _switch(serving, whole, Gate.OBSERVE))
        case AllAtOnce():
            return (_start(serving, whole), _switch(serving, whole, Gate.READY))


def _first(whole: Group) -> tuple[Step, ...]:
    """Nobody is served yet: there is nothing to compare with, and nothing to lose but the first impression."""
    serving = replace(whole, weight=100, role=Role.STABLE)
    return (
        Step(f"start {whole.name} without traffic", FleetSpec((whole,)), Gate.SMOKE),
        Step(f"100 % of the traffic to {whole.name}", FleetSpec((serving,)), Gate.READY),
    )


def _canary(settings: Canary, serving: Group, whole: Group) -> tuple[Step, ...]:
    canary = replace(whole, replicas=settings.replicas)
    name = f"{whole.name}{BASELINE_SUFFIX}"
    baseline = Group(name, serving.artifact, max(settings.baseline, 1), 0, Role.BASELINE)
    peers = (baseline,) if settings.baseline else ()
    observed = (_observed(settings, weight, serving, canary, peers) for weight in settings.weights)
    return (_start(serving, canary, *peers), *observed, _switch(serving, whole, Gate.READY))


def _observed(
    settings: Canary, weight: int, serving: Group, canary: Group, peers: tuple[Group, ...]
) -> Step:
    share = baseline_share(weight, settings.replicas, settings.baseline)
    groups = (
        replace(serving, weight=100 - weight - share),
        replace(canary, weight=weight),
        *(replace(peer, weight=share) for peer in peers),
    )
    return Step(f"{weight} % of the traffic to {canary.name}", FleetSpec(groups), Gate.OBSERVE)


def baseline_share(weight: int, replicas: int, baseline: int) -> int:
    """Percent for `baseline` instances, so that each has the load of one canary instance; stable keeps at least 1."""
    fair = (2 * weight * baseline + replicas) // (2 * replicas)  # rounded half up, without floats
    return max(0, min(fair, 99 - weight))


def _start(serving: Group, *fresh: Group) -> Step:
    return Step(f"start {fresh[0].name} without traffic", FleetSpec((serving, *fresh)), Gate.SMOKE)


def _switch(serving: Group, whole: Group, gate: Gate) -> Step:
    """All traffic to the candidate once it is complete: the planner starts before it shifts. The old group stays warm."""
    groups = (
        replace(whole, weight=100, role=Role.STABLE),
        replace(serving, weight=0, role=Role.WARM),
    )
    return Step(f"100 % of the traffic to {whole.name}", FleetSpec(groups), gate)
