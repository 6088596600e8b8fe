"""What actions do to a fleet in memory, in the smallest changes they consist of, and which are refused as unsafe."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from tasks.errors import NotFoundError, UnsafeActionError
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


def refuse_unsafe(status: FleetStatus, action: Action) -> None:
    """UnsafeActionError for what must not happen whatever anybody planned (invariant 5). It knows no admission."""
    match action:
        case EnsureGroup(group):
            _refuse_mixing(status, group)
        case ShiftTraffic(weights):
            _refuse_unrouting(status, {name for name, weight in weights if weight > 0})
        case DrainGroup(name):
            _refuse_stopping(status, name, frozenset())
        case ReplaceInstances(group, names):
            _refuse_stopping(status, group.name, _ready_names(status, group.name) - set(names))
        case RemoveGroup(name):
            _refuse_forgetting(status.group(name))


def _refuse_mixing(status: FleetStatus, group: Group) -> None:
    found = status.group(group.name)
    if found is not None and found.artifact.digest != group.artifact.digest:
        raise UnsafeActionError(
            f"group {group.name} should run {group.artifact.digest} and runs {found.artifact.digest};"
            " a group has one artifact: drain and remove it first"
        )


def _refuse_unrouting(status: FleetStatus, to: set[str]) -> None:
    if unknown := to - {group.name for group in status.groups}:
        raise NotFoundError(f"traffic should go to {sorted(unknown)}, which is not there; start it")
    serving = {group.name for group in status.groups if group.weight > 0 and group.ready}
    if serving and not any(group.ready for group in status.groups if group.name in to):
        raise UnsafeActionError(
            f"traffic should leave {sorted(serving)} for {sorted(to) or 'nothing'}, where no instance is ready;"
            " nothing was changed: start one first"
        )


def _refuse_stopping(status: FleetStatus, name: str, left: frozenset[str]) -> None:
    found = status.group(name)
    if found is None or not found.ready or left:
        return
    others = [group for group in status.groups if group.name != name and group.ready]
    if found.weight > 0 or not others:
        raise UnsafeActionError(
            f"group {name} should stop, but it has {found.weight} % of the traffic and {len(others)} other groups"
            " are ready; nothing was changed: start another one and shift the traffic first"
        )


def _refuse_forgetting(found: GroupStatus | None) -> None:
    if found is None:
        return
    if found.weight > 0 or any(one.health is not Health.DEAD for one in found.instances):
        raise UnsafeActionError(
            f"group {found.name} should be removed, but it has {found.weight} % of the traffic and"
            f" {len(found.instances)} instances; nothing was changed: un-route and drain it first"
        )


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


def _ready_names(status: FleetStatus, name: str) -> frozenset[str]:
    found = status.group(name)
    instances = found.instances if found else ()
    return frozenset(one.name for one in instances if one.health is Health.READY)


# ---- one change each -----------------------------------------------------------------------------


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
