"""A service on the platform in memory, released by the real flows: real bake, scan, signature and journal, a world to steer."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flows.release import ReleaseRequest, release
from flows.unchanged import Released
from tasks import platforms
from tasks.adapters.memory import World, world_named
from tasks.adapters.memory_traffic import Behaviour
from tasks.adapters.service_file import read_service
from tasks.bake.bakery import bake
from tasks.journal.events import Body, body_of
from tasks.journal.rules import EnvironmentState, fold
from tasks.model import Artifact, Environment, FleetStatus

EXAMPLE = Path(__file__).parents[2] / "deployments" / "services" / "hello"
QUICK = {
    "interval_seconds": 0.2,
    "minimum_requests": 20,
    "batch_seconds": 0.2,
    "warm_up_seconds": 0.0,
    "margin": 0.2,
    "burst": 1.0,
    "watch_seconds": 0.0,
    "minimum_seconds": 0.4,
    "deadline_seconds": 20.0,
    "patience_seconds": 1.0,
}


@dataclass(frozen=True)
class Scene:
    """One service of its own name, in a folder to edit."""

    name: str
    folder: Path

    @property
    def world(self) -> World:
        return world_named(str(platforms.home()))

    @property
    def here(self) -> Environment:
        return Environment(self.name, "production", "memory")

    def release(self, to: str = "", despite_burn: str = "", **more: Any) -> Released:
        return release(ReleaseRequest(folder=self.folder, to=to, despite_burn=despite_burn, **more))

    def write(self, version: str, behaviour: Behaviour | None = None) -> Artifact:
        """Another version of what is baked, and how its instances behave."""
        (self.folder / "version").write_text(version)
        spec, folder = read_service(self.folder)
        store, cache = platforms.store_for(spec), platforms.home() / "cache"
        artifact = bake(spec, folder, store, cache).artifact
        page = (200, f"This is version {version}")
        self.world.behaviours[artifact.digest] = behaviour or Behaviour(pages={"/": page})
        return artifact

    def edit(self, **production: Any) -> None:
        """Change settings of the only environment."""
        path, yaml = self.folder / "service.yaml", YAML()
        spec = yaml.load(path.read_text())
        spec["environments"][0].update(production)
        yaml.dump(spec, path)

    def status(self) -> FleetStatus:
        return self.world.fleet.read(self.here)

    def weights(self) -> dict[str, int]:
        return {group.name: group.weight for group in self.status().groups}

    def state(self) -> EnvironmentState:
        events = platforms.journal().events(self.name)
        return fold(events).environments[self.name, "production"]

    def told(self, kind: type[Body]) -> list[Any]:
        """Bodies of that kind in the journal, oldest first."""
        bodies = [body_of(event) for event in platforms.journal().events(self.name)]
        return [body for body in bodies if isinstance(body, kind)]


def make_scene(folder: Path, name: str) -> Scene:
    folder = folder / name
    shutil.copytree(EXAMPLE, folder)
    spec = {
        "service": name,
        "bake": {
            "files": {
                "hello.py": "/app/hello.py",
                "version": "/app/version",
                "METADATA": "/packages/own-1.0.dist-info/METADATA",
            },
            "command": ["python3", "/app/hello.py"],
        },
        "smoke": {"path": "/", "contains": "This is version"},
        "objectives": {"errors": {"objective": 0.99}},
        "environments": [
            {
                "name": "production",
                "platform": "memory",
                "replicas": 2,
                "strategy": {"kind": "canary", "weights": [20], "baseline": 1},
                "observe": QUICK,
            }
        ],
    }
    with (folder / "service.yaml").open("w") as file:
        YAML().dump(spec, file)
    # A package that the scanner knows: of what it recognises nothing in, it can say nothing.
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    scene = Scene(name, folder)
    scene.write("1")
    return scene
