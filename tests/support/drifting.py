"""Looks at fleets for tests of drift: instances as they should be, and what somebody did to them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from hypothesis import strategies as st

from tasks.inspection import (
    ChangedFile,
    ChangedSetting,
    Condition,
    Cure,
    Drift,
    DriftKind,
    FileChange,
    Inspection,
    InstanceSeen,
    Route,
    SplitterSeen,
)
from tasks.model import FleetSpec, FleetStatus, Group, Health, Role
from tests.support.fleets import DIGESTS, artifact, running

NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
STABLE: Final = Group("r2", artifact(DIGESTS[0]), 3, 100, Role.STABLE)
WARM: Final = Group("r1", artifact(DIGESTS[1]), 1, 0, Role.WARM)
SPEC: Final = FleetSpec((STABLE, WARM))
STATUS: Final = FleetStatus(tuple(running(group) for group in SPEC.groups))


def seen(status: FleetStatus = STATUS, **changes: Any) -> Inspection:
    """A look at exactly that, at which nobody was."""
    instances = tuple(
        InstanceSeen(one.name, group.name, digest=group.artifact.digest)
        for group in status.groups
        for one in group.instances
    )
    routes = tuple(
        Route(group.name, one.name, one.address)
        for group in status.groups
        for one in group.instances
        if group.weight
    )
    look = Inspection(NOON, instances, splitter=SplitterSeen(True, routes), deeds_known_from=NOON)
    return replace(look, **changes)


def with_instance(inspection: Inspection, name: str, /, **changes: Any) -> Inspection:
    """The same look, with one instance looking different."""
    instances = (
        replace(one, **changes) if one.name == name else one for one in inspection.instances
    )
    return replace(inspection, instances=tuple(instances))


def drift(cause: str = "Memory", cure: Cure = Cure.REPLACE, instance: str = "r2-0") -> Drift:
    return Drift(DriftKind.SETTINGS, "r2", instance, cause, f"{cause} is 2", "1", cure, NOON)


def with_health(status: FleetStatus, name: str, health: Health) -> FleetStatus:
    def changed(group: Any) -> Any:
        instances = (
            replace(one, health=health) if one.name == name else one for one in group.instances
        )
        return replace(group, instances=tuple(instances))

    return replace(status, groups=tuple(map(changed, status.groups)))


TRACES: Final[dict[str, dict[str, Any]]] = {
    "settings": {"settings": (ChangedSetting("Memory", 1, 2),)},
    "files": {"files": (ChangedFile("/etc/passwd", FileChange.CHANGED),)},
    "image": {"other_image": "the image sha256:9"},
    "name": {"called": "evil"},
    "restart": {"restarted_at": NOON},
    "pause": {"condition": Condition.PAUSED},
    "end": {"condition": Condition.ENDED},
    "forgery": {"forged": "it does not say what it was started as"},
}
"""What each kind of tampering leaves at an instance."""


def tampering() -> st.SearchStrategy[dict[str, str]]:
    """Which instances of STATUS were tampered with, and how."""
    names = [one.name for group in STATUS.groups for one in group.instances]
    return st.dictionaries(st.sampled_from(names), st.sampled_from(sorted(TRACES)))
