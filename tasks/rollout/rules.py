"""The planner: from what is there to what is desired, in safe steps. Pure (DESIGN section 5, invariants 2 to 5).

It only ever decides the *next* action for a status. A plan is that decision repeated on a simulated fleet, so what
`bakewell plan` prints and what `converge` does cannot differ. In order:

1. Traffic leaves what cannot serve it, and what the spec no longer names, at once if those who stay can carry it:
   a roll-back is a traffic change and must not wait for an instance to start.
2. Start what is missing (only admitted digests).
3. Evict impostors: groups of a wanted name that run another digest.
4. Shift traffic, 5. stop surplus and broken instances, 6. drain, then remove what is not wanted.

Whatever would stop or un-route the last ready (or the last ready *and admitted*) group is not planned: a group that
is merely not wanted any more is left running, which harms nobody; traffic that cannot be moved safely is an
UnsafeActionError, because then the spec cannot be reached and a person must know.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from tasks.errors import NotAdmittedError, UnsafeActionError
from tasks.model import (
    Action,
    DrainGroup,
    EnsureGroup,
    FleetSpec,
    FleetStatus,
    Group,
    GroupStatus,
    Health,
    Instance,
    RemoveGroup,
    ReplaceInstances,
    Role,
    ShiftTraffic,
)
from tasks.rollout.simulation import after, describe

STAND_IN_SUFFIX: Final = "-stand-in"
FAR_FUTURE: Final = datetime.max.replace(tzinfo=UTC)  # simulated instances are younger than all
Weights = dict[str, int]


def plan(spec: FleetSpec, status: FleetStatus, admitted: frozenset[str]) -> tuple[Action, ...]:
    """All actions from the status to the spec, if each succeeds. Empty: nothing is left to do.

    NotAdmittedError if an instance of a digest outside `admitted` would have to start; UnsafeActionError if the spec
    cannot be reached without un-routing the last ready and admitted group.
    """
    actions: list[Action] = []
    most = 8 * (len(spec.groups) + len(status.groups) + 1)
    while action := _next(spec, status, admitted):
        if len(actions) == most:
            raise UnsafeActionError(
                f"a plan to reach the spec has no end; it keeps coming back to: {describe(action)}."
                " Nothing was changed; please report the spec and the status"
            )
        actions.append(action)
        status = after(status, action, FAR_FUTURE)
    return tuple(actions)


def keeps_serving(status: FleetStatus, action: Action, admitted: frozenset[str]) -> bool:
    """Invariant 5: whether somebody ready (and admitted, where there was such a group) stays, and stays routed."""
    then = after(status, action, FAR_FUTURE)
    views: tuple[Callable[[GroupStatus], bool], ...] = (
        lambda group: group.ready > 0,
        lambda group: group.ready > 0 and group.artifact.digest in admitted,
        lambda group: group.ready > 0 and group.weight > 0,
        lambda group: group.ready > 0 and group.weight > 0 and group.artifact.digest in admitted,
    )
    return all(any(map(view, then.groups)) or not any(map(view, status.groups)) for view in views)


def _next(spec: FleetSpec, status: FleetStatus, admitted: frozenset[str]) -> Action | None:
    decisions = (_relief, _start, _evict, _shift, _replace, _clear)
    return next(
        (action for decide in decisions if (action := decide(spec, status, admitted))), None
    )


# ---- 1. traffic that must not wait ---------------------------------------------------------------


def _relief(spec: FleetSpec, status: FleetStatus, admitted: frozenset[str]) -> Action | None:
    weights = _retreat(spec, status) or _rescue(spec, status)
    if weights is None or weights == routed(status):
        return None
    return _checked_shift(status, weights, admitted)


def _retreat(spec: FleetSpec, status: FleetStatus) -> Weights | None:
    """The spec's weights, if only unwanted or broken groups lose traffic and every wanted one can carry its share."""
    wanted = _wanted(spec)
    losers = (group for group in status.groups if group.weight > wanted.get(group.name, 0))
    if not wanted or any(spec.group(group.name) and _serves(spec, group) for group in losers):
        return None
    return wanted if all(_can_carry(spec, status, name) for name in wanted) else None


def _can_carry(spec: FleetSpec, status: FleetStatus, name: str) -> bool:
    """Carries traffic already, or has at least half of its instances ready."""
    group, found = spec.group(name), _true(spec, status, name)
    if group is None or found is None or not found.ready:
        return False
    return found.weight > 0 or 2 * found.ready >= group.replicas


def _rescue(spec: FleetSpec, status: FleetStatus) -> Weights | None:
    """What flows to groups that cannot serve, given to one that can: never to a canary, nobody has judged it yet."""
    kept = {
        group.name: group.weight
        for group in status.groups
        if group.weight > 0 and _serves(spec, group)
    }
    heir = _heir(spec, status)
    if not _wanted(spec) and not any(group.weight > 0 and group.ready for group in status.groups):
        return {}
    if kept.keys() == routed(status).keys() or heir is None:
        return None
    others = {name: weight for name, weight in kept.items() if name != heir.name}
    rest = 100 - sum(others.values())
    return {**others, heir.name: rest} if rest > 0 else {heir.name: 100}


def _heir(spec: FleetSpec, status: FleetStatus) -> GroupStatus | None:
    """The ready group that may take over the traffic of a broken one: the one with most traffic now."""

    def may_inherit(group: GroupStatus) -> bool:
        if not _wanted(spec):  # nothing is to be routed: whoever serves goes on serving
            return group.weight > 0
        wanted = spec.group(group.name)
        return _is_stand_in(spec, group) or bool(wanted and wanted.role is not Role.CANARY)

    heirs = [group for group in status.groups if _serves(spec, group) and may_inherit(group)]
    return max(heirs, key=lambda group: group.weight, default=None)


# ---- 2. start ------------------------------------------------------------------------------------


def _start(spec: FleetSpec, status: FleetStatus, admitted: frozenset[str]) -> Action | None:
    impostors = {group.name for group in _impostors(spec, status)}
    missing = (
        group
        for group in spec.groups
        if group.name not in impostors and _ready(status, group.name) < group.replicas
    )
    group = next(missing, None)
    return _checked_start(group, status, admitted) if group else None


def _checked_start(group: Group, status: FleetStatus, admitted: frozenset[str]) -> EnsureGroup:
    if group.artifact.digest not in admitted:
        raise NotAdmittedError(
            f"group {group.name} should have {group.replicas} ready instances of {group.artifact.digest} and has"
            f" {_ready(status, group.name)}, but this digest is not admitted, so none may start. Nothing was"
            f" changed. See why with `bakewell verify {group.artifact.reference}`, or release an admitted version"
        )
    return EnsureGroup(group)


# ---- 3. evict ------------------------------------------------------------------------------------


def _evict(spec: FleetSpec, status: FleetStatus, admitted: frozenset[str]) -> Action | None:
    """A group of a wanted name with another digest goes, once somebody else can serve; then the name is free."""
    impostor = next(_impostors(spec, status), None)
    if impostor is None:
        return None
    leave = DrainGroup(impostor.name) if _alive(impostor) else RemoveGroup(impostor.name)
    if impostor.weight == 0 and keeps_serving(status, leave, admitted):
        return leave
    stand_in = _stand_in(spec)
    nobody_may_carry = impostor.weight > 0 and not _wanted(spec)
    if nobody_may_carry or _ready(status, stand_in.name) >= stand_in.replicas:
        raise UnsafeActionError(
            f"group {impostor.name} runs {impostor.artifact.digest}, which the spec does not name, and no other"
            " ready and admitted group could take its place. It was left as it is; release an admitted version,"
            " or stop the environment with `bakewell down`"
        )
    return _checked_start(stand_in, status, admitted)


def _stand_in(spec: FleetSpec) -> Group:
    """A copy, under another name, of the group that serves most: it carries the traffic while the name is freed."""
    group = max(spec.groups, key=lambda group: (group.role is not Role.CANARY, group.weight))
    return Group(f"{group.name}{STAND_IN_SUFFIX}", group.artifact, group.replicas, 0, Role.WARM)


# ---- 4. shift ------------------------------------------------------------------------------------


def _shift(spec: FleetSpec, status: FleetStatus, admitted: frozenset[str]) -> Action | None:
    """By now every wanted group is ready. A spec that routes nothing never un-routes what serves."""
    wanted = _wanted(spec)
    if not wanted or wanted == routed(status):
        return None
    return _checked_shift(status, wanted, admitted)


def _checked_shift(status: FleetStatus, weights: Weights, admitted: frozenset[str]) -> ShiftTraffic:
    shift = ShiftTraffic(tuple(weights.items()))
    if not keeps_serving(status, shift, admitted):
        raise UnsafeActionError(
            f"traffic should become {weights or 'nothing'} and is {routed(status)}; that would un-route the last"
            " ready and admitted group. Traffic was left as it is; route to an admitted group, or release one"
        )
    return shift


# ---- 5. replace, 6. clear ------------------------------------------------------------------------


def _replace(spec: FleetSpec, status: FleetStatus, admitted: frozenset[str]) -> Action | None:
    for group in spec.groups:
        found = status.group(group.name)
        if found and (surplus := _surplus(group, found)):
            return ReplaceInstances(group, tuple(instance.name for instance in surplus))
    return None


def _surplus(group: Group, found: GroupStatus) -> list[Instance]:
    """Broken instances, then the youngest ready ones beyond `replicas`: the oldest were judged."""
    youngest_first = sorted(
        found.instances, key=lambda one: (one.started_at, one.name), reverse=True
    )
    broken = [one for one in youngest_first if one.health is not Health.READY]
    ready = [one for one in youngest_first if one.health is Health.READY]
    return broken + ready[: max(0, len(ready) - group.replicas)]


def _clear(spec: FleetSpec, status: FleetStatus, admitted: frozenset[str]) -> Action | None:
    """Groups that nobody wants and nobody is routed to; the last one that could serve is left running."""
    for group in status.groups:
        if spec.group(group.name) or group.weight > 0:
            continue
        if not _alive(group):
            return RemoveGroup(group.name)
        if keeps_serving(status, DrainGroup(group.name), admitted):
            return DrainGroup(group.name)
    return None


# ---- what the status says ------------------------------------------------------------------------


def routed(status: FleetStatus) -> Weights:
    """Groups with traffic, and their percent."""
    return {group.name: group.weight for group in status.groups if group.weight > 0}


def _wanted(spec: FleetSpec) -> Weights:
    return {name: weight for name, weight in spec.weights.items() if weight > 0}


def _ready(status: FleetStatus, name: str) -> int:
    found = status.group(name)
    return found.ready if found else 0


def _alive(group: GroupStatus) -> bool:
    return any(instance.health is not Health.DEAD for instance in group.instances)


def _is_impostor(spec: FleetSpec, group: GroupStatus) -> bool:
    wanted = spec.group(group.name)
    return wanted is not None and wanted.artifact.digest != group.artifact.digest


def _impostors(spec: FleetSpec, status: FleetStatus) -> Iterator[GroupStatus]:
    return (group for group in status.groups if _is_impostor(spec, group))


def _is_stand_in(spec: FleetSpec, group: GroupStatus) -> bool:
    """Only asked of specs that have groups."""
    stand_in = _stand_in(spec)
    return (group.name, group.artifact.digest) == (stand_in.name, stand_in.artifact.digest)


def _true(spec: FleetSpec, status: FleetStatus, name: str) -> GroupStatus | None:
    found = status.group(name)
    return None if found is None or _is_impostor(spec, found) else found


def _serves(spec: FleetSpec, group: GroupStatus) -> bool:
    return group.ready > 0 and not _is_impostor(spec, group)
