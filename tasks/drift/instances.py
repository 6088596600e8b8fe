"""What was done to single instances: settings, files, images, names, and people who were at them. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from tasks.inspection import (
    Condition,
    Cure,
    Deed,
    DeedKind,
    Drift,
    DriftKind,
    Inspection,
    InstanceSeen,
)

PATHS_SHOWN = 5


def instance_drifts(inspection: Inspection, wanted: Mapping[str, str]) -> Iterator[Drift]:
    """Of every instance that was looked at. `wanted`: digests by group; instances of other groups go with their group."""
    deeds = _by_instance(inspection.deeds)
    for seen in inspection.instances:
        cure = Cure.REPLACE if seen.group in wanted else Cure.CONVERGE
        mine = deeds.get(seen.name, [])
        yield from _conditions(seen, mine)
        yield from _identity(seen, cure, mine)
        yield from _artifact(seen, cure, wanted.get(seen.group, seen.digest))
        yield from _changes(seen, cure, mine)
        yield from _touches(seen, cure, mine)


def _by_instance(deeds: Sequence[Deed]) -> dict[str, list[Deed]]:
    found: dict[str, list[Deed]] = {}
    for deed in sorted(deeds, key=lambda one: one.at):
        found.setdefault(deed.instance, []).append(deed)
    return found


# ---- what it is in -------------------------------------------------------------------------------


def _conditions(seen: InstanceSeen, deeds: Sequence[Deed]) -> Iterator[Drift]:
    """Whatever does not run is replaced by convergence, like everything that is missing."""
    if seen.condition is Condition.PAUSED:
        when = _first(deeds, DeedKind.PAUSED)
        yield _drift(seen, DriftKind.PAUSED, "", "paused", "running", Cure.CONVERGE, when)
    if seen.condition is Condition.ENDED:
        when = _first(deeds, DeedKind.SIGNALLED, DeedKind.STOPPED)
        how = f"{when.kind.value}: {when.words}" if when else "nobody was seen to stop it"
        found = f"{seen.detail or 'ended'} ({how})"
        yield _drift(seen, DriftKind.ENDED, "", found, "running", Cure.CONVERGE, when)


def _identity(seen: InstanceSeen, cure: Cure, deeds: Sequence[Deed]) -> Iterator[Drift]:
    if seen.forged:
        ours = "only what Bakewell starts carries its marks"
        yield _drift(seen, DriftKind.FORGED, "", seen.forged, ours, cure)
    if seen.called:
        when = _first(deeds, DeedKind.RENAMED)
        yield _drift(seen, DriftKind.RENAMED, "", seen.called, seen.name, cure, when)
    if seen.restarted_at:
        when = _first(deeds, DeedKind.RESTARTED, DeedKind.SIGNALLED, DeedKind.STOPPED)
        by = "by somebody" if when else "by the platform, or by somebody unseen"
        found = f"started again in place {by}"
        drift = _drift(seen, DriftKind.RESTARTED, "", found, "one start in its life", cure, when)
        yield drift if when else _at(drift, seen)


def _artifact(seen: InstanceSeen, cure: Cure, wanted: str) -> Iterator[Drift]:
    if seen.other_image:
        yield _drift(seen, DriftKind.IMAGE, "", seen.other_image, wanted, cure)
    elif seen.digest and seen.digest != wanted:
        yield _drift(seen, DriftKind.IMAGE, "", seen.digest, wanted, cure)


def _at(drift: Drift, seen: InstanceSeen) -> Drift:
    return replace(drift, since=seen.restarted_at)


# ---- what was changed in it ----------------------------------------------------------------------


def _changes(seen: InstanceSeen, cure: Cure, deeds: Sequence[Deed]) -> Iterator[Drift]:
    changers = (DeedKind.UPDATED, DeedKind.CONNECTED, DeedKind.DISCONNECTED)
    for one in seen.settings:
        when = _first(deeds, *changers)
        found, should = f"{one.name} is {shown(one.now)}", shown(one.was)
        yield _drift(seen, DriftKind.SETTINGS, one.name, found, should, cure, when)
    if seen.files:
        when = _first(deeds, DeedKind.COPIED, DeedKind.EXECUTED)
        shown_files = [f"{one.path} {one.change.value}" for one in seen.files[:PATHS_SHOWN]]
        more = len(seen.files) - len(shown_files)
        found = ", ".join(shown_files) + (f" and {more} more" if more else "")
        yield _drift(seen, DriftKind.FILES, "", found, "the files of its image", cure, when)


def shown(value: JsonValue) -> str:
    """A setting's value for people. A list, a mapping: as JSON, which is how it was compared."""
    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


# ---- who was at it -------------------------------------------------------------------------------


def _touches(seen: InstanceSeen, cure: Cure, deeds: Sequence[Deed]) -> Iterator[Drift]:
    """What was done and left no other trace; the same thing done often is told once, with its first time."""
    told: set[tuple[DeedKind, str]] = set()
    for deed in deeds:
        if _explained(deed, seen) or (deed.kind, deed.words) in told:
            continue
        told.add((deed.kind, deed.words))
        found = deed.kind.value + (f": {deed.words}" if deed.words else "")
        should = "nobody is at a running instance"
        yield _drift(seen, DriftKind.TOUCHED, deed.kind.name, found, should, cure, deed)


def _explained(deed: Deed, seen: InstanceSeen) -> bool:
    """Whether what it did to the instance is told already."""
    match deed.kind:
        case DeedKind.UPDATED | DeedKind.CONNECTED | DeedKind.DISCONNECTED:
            return bool(seen.settings)
        case DeedKind.COPIED:
            return bool(seen.files)
        case DeedKind.RENAMED:
            return bool(seen.called)
        case DeedKind.PAUSED:
            return seen.condition is Condition.PAUSED
        case DeedKind.STOPPED | DeedKind.SIGNALLED:
            return seen.condition is Condition.ENDED or seen.restarted_at is not None
        case DeedKind.RESTARTED:
            return seen.restarted_at is not None
        case DeedKind.EXECUTED:
            return False
        case DeedKind.REMOVED:
            return True


def _first(deeds: Sequence[Deed], *kinds: DeedKind) -> Deed | None:
    return next((one for one in deeds if one.kind in kinds), None)


def _drift(
    seen: InstanceSeen,
    kind: DriftKind,
    what: str,
    found: str,
    should: str,
    cure: Cure,
    deed: Deed | None = None,
) -> Drift:
    since = deed.at if deed else seen.since if kind in (DriftKind.PAUSED, DriftKind.ENDED) else None
    who = deed.who if deed else ""
    return Drift(kind, seen.group, seen.name, what, found, should, cure, since, who)
