"""What somebody changed past us on the process platform, as far as a process table and a folder can tell.

A process's environment cannot be changed from outside. Who was at a process nobody writes down, and processes of one
machine share its network: both are said not to be looked at.
"""

import contextlib
import math
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil

from tasks import oci
from tasks.adapters import process_instances
from tasks.adapters.envoy import proxy_of
from tasks.adapters.envoy_inspection import splitter_seen
from tasks.adapters.fleet_notes import Place
from tasks.adapters.process_instances import Started
from tasks.inspection import (
    Aspect,
    ChangedFile,
    Condition,
    FileChange,
    Inspection,
    InstanceSeen,
    NotLooked,
)
from tasks.model import Environment

CANNOT_SHOW: Final = (
    NotLooked(Aspect.SETTINGS, "the limits of a process are not looked at"),
    NotLooked(Aspect.DEEDS, "nobody writes down who was at a process"),
    NotLooked(Aspect.NETWORK, "processes share the network of their machine"),
)
CLOCK_SECONDS: Final = 2.0
"""When a process was started is told by when its machine was, which is told in whole seconds."""


class ProcessInspector:
    """Fits ports.Inspector."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def look(self, environment: Environment) -> Inspection:
        place = Place(self._home, environment)
        found = process_instances.instances(place)
        trees = {one.artifact.digest: self._tree(one) for one in found}
        changed = {digest: _changes(tree) for digest, tree in trees.items()}
        return Inspection(
            datetime.now(UTC),
            tuple(_seen(one, changed[one.artifact.digest]) for one in found),
            splitter=splitter_seen(proxy_of(self._home, environment), place.folder / "envoy"),
            not_looked=CANNOT_SHOW,
        )

    def _tree(self, one: Started) -> Path:
        return self._home / "trees" / oci.hex_of(one.artifact.digest)


def _seen(one: Started, changes: list[tuple[float, str]]) -> InstanceSeen:
    """Files that changed since it was started, but for its first moments: its tree was complete before."""
    begun = one.started_at.timestamp() + CLOCK_SECONDS
    files = tuple(ChangedFile(path, FileChange.CHANGED) for at, path in changes if at > begun)
    condition = Condition.PAUSED if _is_stopped(one) else Condition.RUNNING
    return InstanceSeen(one.name, one.group, condition, files=files, digest=one.artifact.digest)


def _changes(tree: Path) -> list[tuple[float, str]]:
    """When each file and folder was changed last, by the clock that nobody can set back (ctime). A folder changes when
    something in it is added, renamed or deleted."""
    if not tree.is_dir():
        return [(math.inf, "/")]
    found = []
    for folder, _, files in os.walk(tree):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            with contextlib.suppress(FileNotFoundError):
                found.append(
                    (path.lstat().st_ctime, f"/{path.relative_to(tree)}".removesuffix("."))
                )
    return sorted(found, key=lambda one: one[1])


def _is_stopped(one: Started) -> bool:
    """By SIGSTOP, which nothing of ours sends."""
    try:
        return bool(psutil.Process(one.running.pid).status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False
