"""A service that is baked from a Dockerfile and runs in containers, on an engine, a registry and a base of the test's own."""

import importlib.metadata
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks.adapters.registry import RegistryStore
from tests.e2e.conftest import EXAMPLE, QUICK, Service
from tests.support.docker_engine import TestEngine, docker_engine
from tests.support.python_base import python_base
from tests.support.registry import Registry, running_registry

DOCKERFILE = """\
FROM {base} AS made
COPY hello.py settings.json /app/
COPY packages /packages
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /app /packages

FROM {base}
COPY --from=made /packages /packages
COPY --from=made /app /app
"""


@dataclass(frozen=True)
class Yard:
    """Where containers run: everything that is on the engine is of this test."""

    engine: TestEngine
    registry: Registry
    base: str

    def docker(self, *words: str) -> str:
        """The docker command line, as somebody who knows nothing of Bakewell uses it. What it printed."""
        done = subprocess.run(
            ["docker", *words],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "DOCKER_HOST": self.engine.host},
        )
        return done.stdout.strip()

    def containers(self, service: str = "") -> list[str]:
        """Names of all that are there, running or not."""
        chosen = ["--filter", f"label=bakewell.service={service}"] if service else []
        return self.docker("ps", "--all", *chosen, "--format", "{{.Names}}").split()

    def networks(self) -> set[str]:
        """Those that somebody made."""
        found = self.docker("network", "ls", "--format", "{{.Name}}").split()
        return set(found) - {"bridge", "host", "none"}

    def images(self) -> list[str]:
        """References of images that are not the base."""
        found = self.docker("images", "--all", "--digests", "--format", "{{.Repository}} {{.ID}}")
        return [line for line in found.splitlines() if "base/python" not in line]


@contextmanager
def yard(folder: Path) -> Iterator[Yard]:
    """With DOCKER_HOST set for whoever is started meanwhile."""
    with docker_engine() as engine, running_registry(folder) as registry:
        store = RegistryStore(f"{registry.host}/base/python")
        base = f"{store.repository}@{python_base(store)}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOCKER_HOST", engine.host)
            yield Yard(engine, registry, base)


def dockerfile_service(where: Path, name: str, there: Yard, **production: Any) -> Service:
    """`hello` with a Dockerfile; one environment, whose settings are those given."""
    folder = where / name
    folder.mkdir(parents=True)
    for file in ("hello.py", "settings.json"):
        shutil.copy(EXAMPLE / file, folder)
    _copy_package("humanize", folder / "packages")
    (folder / "Dockerfile").write_text(DOCKERFILE.format(base=there.base))
    place = {
        "name": "production",
        "platform": "docker",
        "replicas": 2,
        "strategy": {"kind": "canary", "weights": [30], "replicas": 1, "baseline": 1},
        "observe": QUICK,
        "warm_seconds": 600,
        **production,
    }
    spec = {
        "service": name,
        "repository": f"{there.registry.host}/{name}",
        "bake": {
            "dockerfile": "Dockerfile",
            "command": ["python3", "/app/hello.py"],
            "environment": {"PYTHONPATH": "/packages", "PYTHONUNBUFFERED": "1"},
            "grace_seconds": 5,
        },
        "smoke": {"path": "/", "contains": "This is version"},
        "objectives": {"errors": {"objective": 0.99}},
        "environments": [place],
    }
    with (folder / "service.yaml").open("w") as written:
        YAML().dump(spec, written)
    service = Service(name, folder)
    service.version(1)
    return service


def _copy_package(name: str, target: Path) -> None:
    """An installed pure Python package, with the marks by which scanners know it."""
    distribution = importlib.metadata.distribution(name)
    for path in distribution.files or ():
        if path.suffix != ".pyc" and path.parts[0] != "..":
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(str(distribution.locate_file(path))), target / path)
