"""One look for drift at ever more containers: seconds and memory. `python -m tests.benchmarks.containers.sweep`

All but two of them were made and never started: the engine is asked the same about each.
"""

import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Final

from tasks.adapters import docker_images
from tasks.adapters.docker_engine import engine
from tasks.adapters.docker_inspection import DockerInspector
from tasks.adapters.docker_networks import ensure
from tasks.adapters.docker_run import Setting, container_name, creation
from tasks.adapters.fleet_notes import Place
from tasks.model import EnsureGroup, Group, Role
from tests.benchmarks.evidence.measuring import table
from tests.support.docker_engine import docker_engine
from tests.support.docker_ground import HERE, docker_ground, open_store
from tests.support.grounds import Behaviour

COUNTS: Final = (50, 100, 250, 500)
RUNNING: Final = 2


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="bkw-") as name,
        docker_engine() as own,
        docker_ground(own, Path(name)) as ground,
    ):
        (home,) = Path(name).glob("docker-*")
        artifact = ground.make_artifact("1", Behaviour.HEALTHY)
        group = Group("r1", artifact, RUNNING, 0, Role.WARM)
        ground.fleet.apply(HERE, EnsureGroup(group), 1)
        rows, there = [], RUNNING
        for count in COUNTS:
            _make(home, group, range(there, count))
            there = count
            rows.append(_sweep(home, count))
        print(table(("containers", "seconds", "ms each", "peak of memory, kB each"), rows))


def _make(home: Path, group: Group, numbers: range) -> None:
    here, place = engine(), Place(home, HERE)
    store = open_store(group.artifact.repository)
    image = docker_images.bring(here, group.artifact, store, home, print).image
    setting = Setting(home, HERE, ensure(here, place))
    for number in numbers:
        body = creation(setting, group, f"r1-{number}", image)
        here.client.api.create_container_from_config(body, container_name(HERE, f"r1-{number}"))


def _sweep(home: Path, count: int) -> tuple[str, str, str, str]:
    """Best of three by the clock; memory of one more, as to count it takes time."""
    inspector = DockerInspector(home, open_store)
    took = []
    for _ in range(3):
        began = time.perf_counter()
        found = inspector.look(HERE)
        took.append(time.perf_counter() - began)
    assert len(found.instances) == count, f"{len(found.instances)} of {count} were seen"
    tracemalloc.start()
    inspector.look(HERE)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    each = min(took) / count * 1000
    return str(count), f"{min(took):.2f}", f"{each:.1f}", f"{peak / count / 1000:.0f}"


if __name__ == "__main__":
    main()
