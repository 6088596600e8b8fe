"""The Docker platform: instances are containers of an engine, local or remote; Envoy, a process here, splits the traffic.

A container is never changed and never restarted: who died is replaced. Its image is named by digest only.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from tasks.adapters import (
    docker_containers,
    docker_images,
    docker_networks,
    docker_tidy,
    image_labels,
    process_table,
)
from tasks.adapters.docker_containers import StartedContainer
from tasks.adapters.docker_engine import Engine, engine
from tasks.adapters.docker_reach import reach
from tasks.adapters.docker_run import Setting
from tasks.adapters.fleet_notes import Place
from tasks.adapters.split_fleet import SplitFleet, had_to_be_killed
from tasks.model import Environment, Group
from tasks.ports import ArtifactStore

Say = Callable[[str], None]


class DockerFleet(SplitFleet[StartedContainer]):
    """Fits ports.Fleet. The engine is the one that DOCKER_HOST names when something is asked."""

    def __init__(
        self, home: Path, open_store: Callable[[str], ArtifactStore], say: Say = lambda _: None
    ) -> None:
        super().__init__(home, DockerInstances(home, open_store, say), say)


class DockerInstances:
    """Fits split_fleet.Instances."""

    def __init__(self, home: Path, open_store: Callable[[str], ArtifactStore], say: Say) -> None:
        self._home = home
        self._open_store = open_store
        self._say = say

    def find(self, place: Place) -> list[StartedContainer]:
        return docker_containers.find(engine(), place)

    def prepare(self, place: Place, group: Group) -> Callable[[int], list[str]]:
        here, artifact = engine(), group.artifact
        store = self._open_store(artifact.repository)
        brought = docker_images.bring(here, artifact, store, self._home, self._say)
        image_labels.grace_seconds(brought.image.config.get("Labels") or {}, artifact)
        docker_tidy.note(place, artifact, brought.reference)
        docker_containers.remove_unstarted(here, place, group.name)
        setting = self._setting(here, place)
        return lambda count: docker_containers.start(here, setting, group, brought.image, count)

    @staticmethod
    def _setting(here: Engine, place: Place) -> Setting:
        ways, network = reach(here), docker_networks.ensure(here, place)
        environment = place.environment
        return Setting(place.home, environment, network, ways.publish_on, ways.limits_swap)

    def age_seconds(self, one: StartedContainer) -> float:
        return docker_containers.age_seconds(engine(), one)

    def is_connected(self, some: Sequence[StartedContainer]) -> bool:
        return process_table.is_connected_to({one.address for one in some})

    def stop(self, place: Place, one: StartedContainer) -> str:
        """Of one that is dead already: how it died, which is gone with its container."""
        here, died = engine(), one.state == "exited"
        how = docker_containers.why_ended(here, place, one.name) if died else ""
        if docker_containers.stop(here, place, one):
            return had_to_be_killed(place, one)
        return f"{one.name} {how}; the end of its log is {place.log(one.name)}" if died else ""

    def remains(self, one: StartedContainer) -> str:
        return docker_containers.remains(engine(), one)

    def had_no_port(self, place: Place, instance: str) -> bool:
        """Each has its own network, or a port that the engine chose."""
        return False

    def why_ended(self, place: Place, instance: str) -> str:
        return docker_containers.why_ended(engine(), place, instance)

    def last_words(self, place: Place, instance: str) -> str:
        return docker_containers.last_words(engine(), place, instance)

    def forget(self, place: Place) -> None:
        docker_tidy.tidy(engine(), place)

    def clear(self, place: Place) -> None:
        docker_networks.remove(engine(), place)
        docker_tidy.tidy(engine(), place, kept=0)


def memory_bytes(home: Path, environment: Environment) -> dict[str, int]:
    """What each instance of an environment holds in memory. TransientError if the engine does not answer."""
    here = engine()
    return docker_containers.memory_bytes(
        here, docker_containers.find(here, Place(home, environment))
    )
