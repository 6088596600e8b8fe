"""What actions do to a fleet in memory, in the smallest changes they consist of, and which are refused as unsafe."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from tasks.model import (
    Action,
    DrainGroup,
    EnsureGroup,
    FleetStatus,
    Group,
    GroupStatus,
    Health,
    Instance,
    RemoveGroup,
    ReplaceInstances,
    ShiftTraffic,
)

Change = Callable[[FleetStatus], FleetStatus]


def smallest_changes(
    status: FleetStatus, action: Action, start: Callable[[Group], Instance]
) -> Iterator[Change]:
    """One change for each instance that starts or stops; a crash may come between any two of them."""
    match action:
        case EnsureGroup(group):
            yield partial(_with_group, group)
            yield from _starts(status, group, start)
        case ShiftTraffic(weights):
            yield partial(_with_weights, dict(weights))
        case DrainGroup(name):
            found = status.group(name)
            stopped = tuple(one.name for one in found.instances) if found else ()
            yield from (partial(without_instance, name, one) for one in stopped)
        case ReplaceInstances(group, names):
            yield from (partial(without_instance, group.name, one) for one in names)
        case RemoveGroup(name):
            yield partial(_without_group, name)


def _starts(
    status: FleetStatus, group: Group, start: Callable[[Group], Instance]
) -> Iterator[Change]:
    """Those that are starting already become ready; the rest is started, unless it never would be ready."""
    found = status.group(group.name)
    instances = found.instances if found else ()
    missing = max(0, group.replicas - (found.ready if found else 0))
    starting = [one.name for one in instances if one.health is Health.STARTING][:missing]
    yield from (partial(with_health, name, Health.READY) for name in starting)
    for _ in range(missing - len(starting)):
        yield lambda now: _each(now, group.name, lambda one: _with_one_more(one, start(group)))


def with_health(instance: str, health: Health, status: FleetStatus) -> FleetStatus:
    def changed(group: GroupStatus) -> GroupStatus:
        instances = (
            replace(one, health=health) if one.name == instance else one for one in group.instances
        )
        return replace(group, instances=tuple(instances))

    return replace(status, groups=tuple(map(changed, status.groups)))


def without_instance(name: str, instance: str, status: FleetStatus) -> FleetStatus:
    def left(group: GroupStatus) -> GroupStatus:
        instances = tuple(one for one in group.instances if one.name != instance)
        return replace(group, instances=instances)

    return _each(status, name, left)


def _with_group(group: Group, status: FleetStatus) -> FleetStatus:
    if status.group(group.name):
        return status
    fresh = GroupStatus(group.name, group.artifact, 0)
    return replace(status, groups=(*status.groups, fresh))


def _with_one_more(group: GroupStatus, instance: Instance) -> GroupStatus:
    return replace(group, instances=(*group.instances, instance))


def _with_weights(weights: Mapping[str, int], status: FleetStatus) -> FleetStatus:
    groups = (replace(group, weight=weights.get(group.name, 0)) for group in status.groups)
    return replace(status, groups=tuple(groups))


def _without_group(name: str, status: FleetStatus) -> FleetStatus:
    left = tuple(group for group in status.groups if group.name != name)
    return replace(status, groups=left)


def _each(
    status: FleetStatus, name: str, change: Callable[[GroupStatus], GroupStatus]
) -> FleetStatus:
    groups = (change(group) if group.name == name else group for group in status.groups)
    return replace(status, groups=tuple(groups))
