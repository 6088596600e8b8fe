"""What may be mended without a person: instances that died, and a splitter that is gone. Nothing else is touched. Pure.

An instance that hangs, one too many, a group nobody wants, other weights, other bytes: somebody may have meant that. Those are
left as they are, for `drift` to tell. Only where nobody of a group serves is it started anew beside what hangs.
"""

from dataclasses import replace
from typing import Final

from tasks.inspection import Cure, Drift, DriftKind
from tasks.model import FleetSpec, FleetStatus, Group, GroupStatus, Health, Instance

PAUSE_SECONDS: Final = 15.0
LONGEST_PAUSE_SECONDS: Final = 300.0


def losses(spec: FleetSpec, status: FleetStatus) -> tuple[Drift, ...]:
    """What is missing or dead. Empty, too, where other bytes run under a wanted name: that is nobody's death; and where nothing
    is known of any wanted group: it never ran here, and may run on another machine.

    Nobody may hold the environment: an instance that still starts was then left by somebody who is gone.
    """
    known = [(group, status.group(group.name)) for group in spec.groups]
    if not any(found for _, found in known) or any(_is_other(*one) for one in known):
        return ()
    lost = tuple(
        _missing(group, ready)
        for group in spec.groups
        if (ready := _ready(status, group.name)) < _places(group, status.group(group.name))
    )
    shares = {name: weight for name, weight in spec.weights.items() if weight}
    if not shares or status.endpoint:
        return lost
    should = ", ".join(f"{name} {weight} %" for name, weight in sorted(shares.items()))
    words = ("nothing splits the traffic", should)
    return (*lost, Drift(DriftKind.SPLITTER_GONE, "", "", "", *words, Cure.CONVERGE))


def spec_for_mending(spec: FleetSpec, status: FleetStatus) -> FleetSpec:
    """Who hangs keeps its place: only as many are wanted as the others fill."""
    groups = (
        replace(group, replicas=max(1, _places(group, status.group(group.name))))
        for group in spec.groups
    )
    return FleetSpec(tuple(groups))


def status_for_mending(spec: FleetSpec, status: FleetStatus) -> FleetStatus:
    """The fleet without what is none of a mender's business. `spec` is one for mending."""
    groups = (
        _shown(group, found, bool(status.endpoint))
        for group in spec.groups
        if (found := status.group(group.name))
    )
    return replace(status, groups=tuple(groups))


def pause_seconds(failures: int) -> float:
    """After so many tries in vain in a row: doubled each time, five minutes at most."""
    return min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * 2.0 ** min(failures - 1, 10))


def _missing(group: Group, ready: int) -> Drift:
    found, should = f"{ready} of {group.replicas} serve", str(group.replicas)
    return Drift(DriftKind.MISSING, group.name, "", "", found, should, Cure.CONVERGE)


def _is_other(group: Group, found: GroupStatus | None) -> bool:
    return found is not None and found.artifact.digest != group.artifact.digest


def _ready(status: FleetStatus, name: str) -> int:
    found = status.group(name)
    return found.ready if found else 0


def _places(group: Group, found: GroupStatus | None) -> int:
    """How many should be ready, if those that hang keep theirs."""
    if found is None or not found.ready:
        return group.replicas
    hang = sum(one.health is Health.UNREADY for one in found.instances)
    return max(0, group.replicas - hang)


def _shown(group: Group, found: GroupStatus, is_split: bool) -> GroupStatus:
    """The oldest ready ones, as many as wanted; whoever starts, and the dead. Traffic that flows is as it should be."""
    oldest_first = sorted(found.instances, key=lambda one: (one.started_at, one.name))
    ready = [one for one in oldest_first if one.health is Health.READY][: group.replicas]
    others = [one for one in oldest_first if _is_for_mending(one)]
    weight = group.weight if is_split else found.weight
    return replace(found, weight=weight, instances=(*ready, *others))


def _is_for_mending(one: Instance) -> bool:
    return one.health in (Health.STARTING, Health.DEAD)
