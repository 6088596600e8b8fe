"""The process platform starts instances from a mirror while the first registry is dead."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import platforms
from tasks.adapters import mirrored
from tasks.adapters.outages import Outages
from tasks.bake.bakery import bake
from tasks.errors import TransientError
from tasks.mirror.copying import copy_artifact
from tasks.model import Artifact, EnsureGroup, Group, Health, Role, ShiftTraffic
from tests.support.baking import service
from tests.support.grounds import Ground
from tests.support.process_ground import SERVER, kill, process_ground
from tests.support.registry import Registry, running_registry

pytestmark = pytest.mark.engine


@pytest.fixture
def registries(tmp_path: Path) -> Iterator[tuple[Registry, Registry]]:
    with running_registry(tmp_path / "one") as one, running_registry(tmp_path / "two") as two:
        yield one, two


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """With the stores that everybody has: `platforms.store`."""
    with process_ground(tmp_path, platforms.store) as found:
        yield found


def baked(repository: str, folder: Path) -> Artifact:
    source = folder / "source"
    source.mkdir()
    (source / "main.py").write_text(SERVER)
    (source / "version").write_text("1")
    files = {"main.py": "/app/main.py", "version": "/app/version"}
    spec = service(files=files, grace_seconds=2)
    return bake(spec, source, platforms.store(repository), folder / "cache").artifact


def test_instances_start_and_are_replaced_while_the_first_registry_is_dead(
    ground: Ground,
    registries: tuple[Registry, Registry],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, two = registries
    monkeypatch.setattr(mirrored, "KNOWN_OUTAGES", Outages())
    artifact = baked(f"{one.host}/team/hello", tmp_path)
    source = platforms.store(artifact.repository)
    copy = platforms.plain_store(f"{two.host}/copies/team/hello")
    copy_artifact(source, copy, artifact.digest, tmp_path, lambda line: None)
    os.killpg(one.process.pid, signal.SIGKILL)
    one.process.wait()
    group = Group("r1", artifact, 2, 0, Role.STABLE)
    with pytest.raises(TransientError, match=one.host):
        ground.fleet.apply(ground.environment, EnsureGroup(group), 1)
    monkeypatch.setenv("BAKEWELL_MIRRORS", f"{one.host}={two.host}/copies")
    ground.fleet.apply(ground.environment, EnsureGroup(group), 1)
    ground.fleet.apply(ground.environment, ShiftTraffic((("r1", 100),)), 1)
    (found,) = ground.fleet.read(ground.environment).groups
    assert [each.health for each in found.instances] == [Health.READY] * 2
    kill(found.instances[0].address)
    ground.fleet.apply(ground.environment, EnsureGroup(group), 1)
    (found,) = ground.fleet.read(ground.environment).groups
    assert [each.health for each in found.instances] == [Health.READY] * 2
