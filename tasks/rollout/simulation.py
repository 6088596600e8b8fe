"""What each action would do to a fleet if it succeeded, and how to say it in words. Pure."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

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


def after(status: FleetStatus, action: Action, now: datetime) -> FleetStatus:
    """The status once the action has succeeded. Instances that it would start are named `<group>-new-<n>`."""
    match action:
        case EnsureGroup(group):
            return _ensured(status, group, now)
        case ShiftTraffic(weights):
            shares = dict(weights)
            return _each(status, lambda one: replace(one, weight=shares.get(one.name, 0)))
        case DrainGroup(name):
            return _each(
                status, lambda one: replace(one, instances=()) if one.name == name else one
            )
        case RemoveGroup(name):
            left = tuple(one for one in status.groups if one.name != name)
            return replace(status, groups=left)
        case ReplaceInstances(group, names):
            return _each(
                status, lambda one: _without(one, names) if one.name == group.name else one
            )


def describe(action: Action) -> str:
    """One plain sentence, without the full stop."""
    match action:
        case EnsureGroup(group):
            return f"start {group.name} until {_count(group.replicas)} of {group.artifact.short} are ready"
        case ShiftTraffic(()):
            return "take all groups off the traffic"
        case ShiftTraffic(weights):
            return f"shift traffic: {', '.join(f'{name} {share} %' for name, share in weights)}"
        case DrainGroup(name):
            return f"drain {name}: finish its requests, then stop it"
        case RemoveGroup(name):
            return f"remove {name}"
        case ReplaceInstances(group, names):
            return f"stop {_count(len(names))} of {group.name} that {_are(names)} broken or too many: {', '.join(names)}"


def _ensured(status: FleetStatus, group: Group, now: datetime) -> FleetStatus:
    """A group of that name but another digest stays as it is: platforms refuse to mix two artifacts in a group."""
    found = status.group(group.name)
    if found is None:
        fresh = GroupStatus(group.name, group.artifact, 0)
        return replace(status, groups=(*status.groups, _complete(fresh, group.replicas, now)))
    if found.artifact.digest != group.artifact.digest:
        return status
    return _each(status, lambda one: _complete(one, group.replicas, now) if one is found else one)


def _complete(found: GroupStatus, replicas: int, now: datetime) -> GroupStatus:
    """Those that are starting become ready first, then new ones are started."""
    missing, instances = replicas - found.ready, list[Instance]()
    for instance in found.instances:
        if instance.health is Health.STARTING and missing > 0:
            instance, missing = replace(instance, health=Health.READY), missing - 1
        instances.append(instance)
    taken = {instance.name for instance in instances}
    number = 0
    while missing > 0:
        number += 1
        if (name := f"{found.name}-new-{number}") not in taken:
            instances.append(Instance(name, Health.READY, "", now))
            missing -= 1
    return replace(found, instances=tuple(instances))


def _each(status: FleetStatus, change: Callable[[GroupStatus], GroupStatus]) -> FleetStatus:
    return replace(status, groups=tuple(change(group) for group in status.groups))


def _without(group: GroupStatus, names: tuple[str, ...]) -> GroupStatus:
    left = tuple(one for one in group.instances if one.name not in names)
    return replace(group, instances=left)


def _count(instances: int) -> str:
    return "1 instance" if instances == 1 else f"{instances} instances"


def _are(names: tuple[str, ...]) -> str:
    return "is" if len(names) == 1 else "are"
