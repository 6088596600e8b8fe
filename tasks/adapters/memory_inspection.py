"""What an inspector sees in memory: instances as they were started, and what a test says somebody did to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from tasks.errors import TransientError
from tasks.inspection import (
    Condition,
    Deed,
    Inspection,
    InstanceSeen,
    NotLooked,
    Route,
    SplitterSeen,
    Stranger,
)
from tasks.model import FleetStatus, GroupStatus, Health, Instance


@dataclass(frozen=True)
class Tampering:
    """What was done in one environment. `changed`: by the instance's name, what it looks like now, if it is still there."""

    changed: Mapping[str, InstanceSeen] = field(default_factory=dict)
    deeds: tuple[Deed, ...] = ()
    strangers: tuple[Stranger, ...] = ()
    routes: tuple[Route, ...] = ()
    foreign_files: tuple[str, ...] = ()
    not_looked: tuple[NotLooked, ...] = ()
    outage: str = ""


def inspected(status: FleetStatus, done: Tampering, now: datetime) -> Inspection:
    if done.outage:
        raise TransientError(f"asked what was done past us; found {done.outage}; try again")
    seen = tuple(
        done.changed.get(one.name, _untouched(group, one))
        for group in status.groups
        for one in group.instances
    )
    names = {one.name for one in seen}
    deeds = tuple(one for one in done.deeds if one.instance in names)
    routed = any(group.weight for group in status.groups)
    splitter = SplitterSeen(routed, (*_routes(status), *done.routes), done.foreign_files)
    return Inspection(now, seen, deeds, now, done.strangers, splitter, done.not_looked)


def _untouched(group: GroupStatus, one: Instance) -> InstanceSeen:
    seen = InstanceSeen(one.name, group.name, since=one.started_at, digest=group.artifact.digest)
    return replace(seen, condition=Condition.ENDED) if one.health is Health.DEAD else seen


def _routes(status: FleetStatus) -> tuple[Route, ...]:
    return tuple(
        Route(group.name, one.name, one.address)
        for group in status.groups
        for one in group.instances
        if group.weight
    )
