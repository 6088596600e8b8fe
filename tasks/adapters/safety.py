"""What no platform does, whoever planned it (invariant 5). Pure; the last line behind the planner, which proves the same."""

from tasks.errors import NotFoundError, UnsafeActionError
from tasks.model import (
    Action,
    DrainGroup,
    EnsureGroup,
    FleetStatus,
    Group,
    GroupStatus,
    Health,
    RemoveGroup,
    ReplaceInstances,
    ShiftTraffic,
)


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


def _ready_names(status: FleetStatus, name: str) -> frozenset[str]:
    found = status.group(name)
    instances = found.instances if found else ()
    return frozenset(one.name for one in instances if one.health is Health.READY)
