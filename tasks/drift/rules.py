"""What differs from what should be there: a diff of spec, status and what an inspector saw. Pure.

No drift are: a group that is draining, an instance that is starting, a warm group whose time is over and that nobody has
ended yet. An environment that somebody is changing is not asked about at all: it differs by intent.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tasks.drift.instances import instance_drifts
from tasks.inspection import (
    Aspect,
    Cure,
    DeedKind,
    Drift,
    DriftKind,
    Inspection,
    Route,
)
from tasks.model import FleetSpec, FleetStatus, Group, GroupStatus, Health


@dataclass(frozen=True)
class Wanted:
    """What should be there. `tolerated`: groups that may be there without being wanted (warm ones whose time is over).

    `unfinished`: the release whose rollout a dead process left, empty if none; what should be there is then known once it
    is withdrawn.
    """

    spec: FleetSpec
    tolerated: frozenset[str] = frozenset()
    unfinished: str = ""


@dataclass(frozen=True)
class Standing:
    """What is held against a digest today, in sentences; empty: nothing."""

    quarantined: str = ""
    refused: str = ""


# What an aspect would have shown stays as it was known while that cannot be looked at.
SHOWN_BY: Final[Mapping[Aspect, frozenset[DriftKind]]] = {
    Aspect.SETTINGS: frozenset(
        {DriftKind.SETTINGS, DriftKind.FORGED, DriftKind.RENAMED, DriftKind.RESTARTED}
    ),
    Aspect.IMAGES: frozenset({DriftKind.IMAGE}),
    Aspect.FILES: frozenset({DriftKind.FILES}),
    Aspect.DEEDS: frozenset({DriftKind.TOUCHED}),
    Aspect.NETWORK: frozenset({DriftKind.FOREIGN}),
    Aspect.SPLITTER: frozenset({DriftKind.ROUTES, DriftKind.SPLITTER_FILES}),
    Aspect.EVIDENCE: frozenset({DriftKind.QUARANTINED, DriftKind.NOT_ADMITTED}),
}


def drifts(
    wanted: Wanted,
    status: FleetStatus,
    inspection: Inspection,
    standings: Mapping[str, Standing],
    known: Sequence[Drift] = (),
) -> tuple[Drift, ...]:
    """Everything that differs now. `standings` by digest; `known`: what the last look found.

    Of what was known those stay that cannot be seen any more and are not over: an engine forgets who was at an instance,
    the instance is what it was made.
    """
    digests = {group.name: group.artifact.digest for group in wanted.spec.groups}
    by_instance = tuple(instance_drifts(inspection, digests))
    told = {one.instance for one in by_instance if one.kind in _NOT_RUNNING}
    false = {one.instance for one in by_instance if one.kind in _NOT_OURS}
    by_fleet = (
        (_unfinished(wanted.unfinished),)
        if wanted.unfinished
        else tuple(_fleet(wanted, _without(status, false), inspection, told))
    )
    found = (
        *by_fleet,
        *by_instance,
        *_strangers(inspection),
        *_standings(wanted, status, standings),
    )
    keys = {one.key for one in found}
    kept = (one for one in known if one.key not in keys and _stays(one, inspection, status))
    return (*found, *kept)


_NOT_RUNNING: Final = frozenset({DriftKind.ENDED, DriftKind.PAUSED})
_NOT_OURS: Final = frozenset({DriftKind.FORGED, DriftKind.IMAGE})


def _without(status: FleetStatus, names: set[str]) -> FleetStatus:
    """What only says to be an instance fills no gap; routes to it are told as what it is."""
    groups = (
        replace(group, instances=tuple(one for one in group.instances if one.name not in names))
        for group in status.groups
    )
    return replace(status, groups=tuple(groups))


def _stays(one: Drift, inspection: Inspection, status: FleetStatus) -> bool:
    if one.instance and all(seen.name != one.instance for seen in inspection.instances):
        return False
    if not one.instance and one.group and status.group(one.group) is None:
        return False
    if one.kind is DriftKind.TOUCHED:
        return True
    return any(
        one.kind in SHOWN_BY[blind.aspect] and blind.instance in ("", one.instance)
        for blind in inspection.not_looked
    )


# ---- groups and their instances ------------------------------------------------------------------


def _unfinished(release: str) -> Drift:
    found = f"the process that rolled {release} out is gone"
    return Drift(
        DriftKind.UNFINISHED, release, "", "", found, "it ends what it begins", Cure.CONVERGE
    )


def _fleet(
    wanted: Wanted, status: FleetStatus, inspection: Inspection, told: set[str]
) -> Iterator[Drift]:
    for group in wanted.spec.groups:
        yield from _group(group, status.group(group.name), inspection, told)
    for there in status.groups:
        if wanted.spec.group(there.name) is None and there.name not in wanted.tolerated:
            yield from _not_wanted(there)
    yield from _splitter(wanted.spec, status, inspection)


def _group(
    group: Group, found: GroupStatus | None, inspection: Inspection, told: set[str]
) -> Iterator[Drift]:
    if found is not None and found.artifact.digest != group.artifact.digest:
        yield Drift(
            DriftKind.WRONG_ARTIFACT,
            group.name,
            "",
            "",
            found.artifact.digest,
            group.artifact.digest,
            Cure.CONVERGE,
        )
        return
    yield from _missing(group, found, inspection)
    for one in found.instances if found else ():
        if one.health in (Health.UNREADY, Health.DEAD) and one.name not in told:
            words = "ended" if one.health is Health.DEAD else "does not answer its health check"
            yield Drift(
                DriftKind.UNWELL, group.name, one.name, "", words, "ready", Cure.CONVERGE, None
            )
    if found and (surplus := found.ready - group.replicas) > 0:
        words = f"{group.replicas + surplus} are ready"
        yield Drift(
            DriftKind.SURPLUS, group.name, "", "", words, str(group.replicas), Cure.CONVERGE
        )


def _missing(group: Group, found: GroupStatus | None, inspection: Inspection) -> Iterator[Drift]:
    missing = _missing_count(group, found)
    if missing <= 0:
        return
    names = {one.name for one in inspection.instances}
    removed = [
        deed
        for deed in inspection.deeds
        if deed.kind is DeedKind.REMOVED and deed.group == group.name and deed.instance not in names
    ]
    words = f"{group.replicas - missing} of {group.replicas} are there"
    last = max(removed, key=lambda deed: deed.at, default=None)
    gone = f"; {last.instance} was removed" if last else ""
    yield Drift(
        DriftKind.MISSING,
        group.name,
        "",
        "",
        words + gone,
        f"{group.replicas}",
        Cure.CONVERGE,
        last.at if last else None,
        last.who if last else "",
    )


def _missing_count(group: Group, found: GroupStatus | None) -> int:
    there = [one for one in found.instances if one.health is not Health.DRAINING] if found else []
    return group.replicas - len(there)


def _not_wanted(there: GroupStatus) -> Iterator[Drift]:
    alive = [one for one in there.instances if one.health is not Health.DEAD]
    draining = all(one.health is Health.DRAINING for one in alive)
    if there.weight or not draining:
        words = f"{len(alive)} instances of {there.artifact.short}, {there.weight} % of the traffic"
        yield Drift(DriftKind.NOT_WANTED, there.name, "", "", words, "nothing of it", Cure.CONVERGE)


# ---- traffic -------------------------------------------------------------------------------------


def _splitter(spec: FleetSpec, status: FleetStatus, inspection: Inspection) -> Iterator[Drift]:
    wanted = {name: weight for name, weight in spec.weights.items() if weight}
    routed = {group.name: group.weight for group in status.groups if group.weight}
    seen = inspection.splitter
    if seen is not None and not seen.runs:
        if wanted:
            found, should = "nothing splits the traffic", _shares(wanted)
            yield Drift(DriftKind.SPLITTER_GONE, "", "", "", found, should, Cure.CONVERGE)
        return
    if wanted and routed != wanted:
        yield Drift(DriftKind.WEIGHTS, "", "", "", _shares(routed), _shares(wanted), Cure.CONVERGE)
    for route in _astray(spec, status, seen.routes if seen else ()):
        found = f"requests of {route.group} go to {route.address} ({route.instance})"
        should = "only to its own instances"
        yield Drift(DriftKind.ROUTES, route.group, "", route.address, found, should, Cure.REROUTE)
    for name in seen.foreign_files if seen else ():
        found, should = f"{name} holds what Bakewell did not write", "what Bakewell wrote"
        yield Drift(DriftKind.SPLITTER_FILES, "", "", name, found, should, Cure.REROUTE)


def _astray(spec: FleetSpec, status: FleetStatus, routes: Sequence[Route]) -> Iterator[Route]:
    """Routes to nobody of ours. As many of a group as it misses instances are those of the missing ones: the splitter
    forgets them as soon as others are there."""
    gone = {
        group.name: max(0, _missing_count(group, status.group(group.name))) for group in spec.groups
    }
    for route in routes:
        if _known(route, status):
            continue
        if gone.get(route.group, 0):
            gone[route.group] -= 1
        else:
            yield route


def _known(route: Route, status: FleetStatus) -> bool:
    group = status.group(route.group)
    return any(
        one.name == route.instance and one.address in ("", route.address)
        for one in (group.instances if group else ())
    )


def _shares(weights: Mapping[str, int]) -> str:
    told = [f"{name} {weight} %" for name, weight in sorted(weights.items())]
    return ", ".join(told) or "nothing is routed"


# ---- who else, and what may run ------------------------------------------------------------------


def _strangers(inspection: Inspection) -> Iterator[Drift]:
    for one in inspection.strangers:
        found = f"{one.name} ({one.what})"
        advice = f"it is not Bakewell's to stop; if it does not belong there: `{one.way_out}`"
        should = "only instances of this environment"
        yield Drift(
            DriftKind.FOREIGN,
            "",
            "",
            one.name,
            found,
            should,
            Cure.PERSON,
            one.since,
            "",
            advice,
        )


def _standings(
    wanted: Wanted, status: FleetStatus, standings: Mapping[str, Standing]
) -> Iterator[Drift]:
    for there in status.groups:
        held = standings.get(there.artifact.digest, Standing())
        if not any(one.health is not Health.DEAD for one in there.instances):
            continue
        is_wanted = wanted.spec.group(there.name) is not None
        if held.quarantined:
            cure = Cure.GO_BACK if is_wanted else Cure.CONVERGE
            yield _standing(DriftKind.QUARANTINED, there, held.quarantined, cure, "")
        elif held.refused and is_wanted:
            yield _standing(DriftKind.NOT_ADMITTED, there, held.refused, Cure.PERSON, _WAY_OUT)


_WAY_OUT: Final = (
    "it runs on, and nothing of it starts again: release a version that is admitted, or go back with"
    " `bakewell rollback`"
)


def _standing(kind: DriftKind, there: GroupStatus, why: str, cure: Cure, advice: str) -> Drift:
    digest = there.artifact.digest
    should = "only what is admitted today"
    return Drift(kind, there.name, "", digest, f"{digest}: {why}", should, cure, None, "", advice)


def is_served(spec: FleetSpec, status: FleetStatus) -> bool:
    """Whether somebody ready answers users, or nobody should."""
    if not any(spec.weights.values()):
        return True
    return any(group.weight and group.ready for group in status.groups)
