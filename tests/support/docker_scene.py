"""A service that was promoted on the Docker platform, as its journal tells it, and admitted today: without a release, which
would take longer than what is tried with it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from flows.drift_healing import heal_drift
from flows.drifting import EnvironmentDrift, look_from_outside, reported
from tasks import platforms
from tasks.adapters.docker_networks import network_name
from tasks.adapters.docker_run import container_name
from tasks.adapters.fleet_notes import Place
from tasks.journal.events import Deployed
from tasks.journal.rules import Promoted, RolloutStarted, record
from tasks.model import Artifact, EnsureGroup, Group, Role, ShiftTraffic
from tests.support.admitting import admit_for_the_day
from tests.support.docker_engine import TestEngine
from tests.support.docker_ground import HERE, docker_ground
from tests.support.grounds import Behaviour, Ground

SCRIPT: Final = Path(__file__).with_name("tamper_docker.sh")


@dataclass(frozen=True)
class DockerScene:
    """Release r1 serves, r0 is warm. `tamper` does what the script does, by the docker command line."""

    ground: Ground
    home: Path
    host: str

    @property
    def place(self) -> Place:
        return Place(self.home, HERE)

    def look(self) -> EnvironmentDrift:
        return reported(look_from_outside(HERE))

    def heal(self) -> EnvironmentDrift:
        return heal_drift(HERE)

    def names(self, group: str = "r1") -> list[str]:
        found = self.ground.fleet.read(HERE).group(group)
        return [one.name for one in found.instances] if found else []

    def tamper(self, kind: str, instance: str) -> None:
        self.run(SCRIPT, kind, container_name(HERE, instance), network_name(self.place))

    def tamper_splitter(self, kind: str, group: str = "r1") -> None:
        self.run(SCRIPT, kind, self.place.folder / "envoy", group)

    def run(self, *command: str | Path) -> str:
        where = {"PATH": os.environ["PATH"], "DOCKER_HOST": self.host}
        done = subprocess.run(
            command, env=where, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{command[1:]}: {done.stderr}"
        return done.stdout


@contextmanager
def docker_scene(engine: TestEngine, folder: Path, replicas: int) -> Iterator[DockerScene]:
    """$BAKEWELL_HOME is the scene's meanwhile."""
    with docker_ground(engine, folder) as ground, pytest.MonkeyPatch.context() as patched:
        (home,) = folder.glob("docker-*")
        patched.setenv("BAKEWELL_HOME", str(home))
        patched.delenv("BAKEWELL_JOURNAL", raising=False)
        for number, count in enumerate((1, replicas)):
            artifact = ground.make_artifact(str(number), Behaviour.HEALTHY)
            admit_for_the_day(artifact)
            promote(artifact, f"r{number}", count)
            group = Group(f"r{number}", artifact, count, 0, Role.WARM)
            ground.fleet.apply(HERE, EnsureGroup(group), 0)
        ground.fleet.apply(HERE, ShiftTraffic((("r1", 100),)), 0)
        yield DockerScene(ground, home, engine.host)


def promote(artifact: Artifact, release: str, replicas: int) -> None:
    now, journal = datetime.now(UTC), platforms.journal()
    started = RolloutStarted(HERE, artifact, replicas, "")
    promoted = Promoted(Deployed(release, artifact, replicas, now), now + timedelta(hours=1))
    for body in (started, promoted):
        record(journal, HERE.service, HERE.name, release, body)
