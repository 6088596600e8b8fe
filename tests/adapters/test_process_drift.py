"""What can be seen of tampering on the process platform: changed files, stopped processes, Envoy's files. The rest is said."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks import oci
from tasks.adapters import process_table
from tasks.adapters.fleet_notes import Place
from tasks.adapters.process_inspection import CANNOT_SHOW, ProcessInspector
from tasks.drift.rules import Wanted, drifts
from tasks.inspection import Drift, DriftKind
from tasks.model import EnsureGroup, FleetSpec, Group, Role, ShiftTraffic
from tests.support.engines import wait_for
from tests.support.grounds import Behaviour, Ground
from tests.support.process_ground import process_ground

pytestmark = pytest.mark.engine


@dataclass(frozen=True)
class Scene:
    ground: Ground
    home: Path
    group: Group

    @property
    def place(self) -> Place:
        return Place(self.home, self.ground.environment)

    def look(self) -> tuple[Drift, ...]:
        here = self.ground.environment
        status, seen = self.ground.fleet.read(here), ProcessInspector(self.home).look(here)
        assert seen.not_looked == CANNOT_SHOW
        return drifts(Wanted(FleetSpec((self.group,))), status, seen, {})


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with process_ground(tmp_path) as ground:
        (home,) = tmp_path.glob("process-*")
        group = Group("r1", ground.make_artifact("1", Behaviour.HEALTHY), 2, 100, Role.STABLE)
        ground.fleet.apply(ground.environment, EnsureGroup(group), 1)
        ground.fleet.apply(ground.environment, ShiftTraffic((("r1", 100),)), 1)
        yield Scene(ground, home, group)


def test_what_was_done_to_files_and_processes_and_the_splitter_is_found(scene: Scene) -> None:
    assert scene.look() == (), "nobody was here"
    tree = scene.home / "trees" / oci.hex_of(scene.group.artifact.digest)
    changed = tree / "app" / "version"
    changed.chmod(0o644)
    found: list[Drift] = []

    def is_found() -> bool:
        """Its first moments do not count."""
        changed.write_text("9")
        found[:] = scene.look()
        return len(found) == 2

    wait_for(is_found, 20)
    assert [one.kind for one in found] == [DriftKind.FILES] * 2, "both run from these files"
    assert "/app/version changed" in found[0].found
    stopped, _ = process_table.find(
        {**scene.place.marks, "BAKEWELL_GROUP": "r1"},
    )
    os.kill(stopped.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: DriftKind.PAUSED in {one.kind for one in scene.look()}, 20)
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
    rds = scene.place.folder / "envoy" / "rds.json"
    rds.write_text(rds.read_text().replace('"domains": ["*"]', '"domains": ["evil", "*"]'))
    splitter = [one for one in scene.look() if one.kind is DriftKind.SPLITTER_FILES]
    assert [one.what for one in splitter] == ["rds.json"]
