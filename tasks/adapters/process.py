"""The process platform, Bakewell's embedded default: instances are processes of this machine, Envoy splits the traffic."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tasks.adapters import image_tree, process_instances, process_table
from tasks.adapters.fleet_notes import Place
from tasks.adapters.process_instances import Started
from tasks.adapters.split_fleet import SplitFleet, had_to_be_killed
from tasks.model import Group
from tasks.ports import ArtifactStore

TAKEN: Final = "address already in use"


class ProcessFleet(SplitFleet[Started]):
    """Fits ports.Fleet."""

    def __init__(
        self,
        home: Path,
        open_store: Callable[[str], ArtifactStore],
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(home, ProcessInstances(home, open_store), say)


class ProcessInstances:
    """Fits split_fleet.Instances."""

    def __init__(self, home: Path, open_store: Callable[[str], ArtifactStore]) -> None:
        self._home = home
        self._open_store = open_store

    def find(self, place: Place) -> list[Started]:
        return process_instances.instances(place)

    def prepare(self, place: Place, group: Group) -> Callable[[int], list[str]]:
        store = self._open_store(group.artifact.repository)
        tree = image_tree.unpacked(group.artifact, store, self._home / "trees")
        config = image_tree.configuration(group.artifact, store)

        def start(count: int) -> list[str]:
            """One after the other: each takes a port that none of those before was promised."""
            return [process_instances.start(place, group, tree, config) for _ in range(count)]

        return start

    def age_seconds(self, one: Started) -> float:
        return (datetime.now(UTC) - one.started_at).total_seconds()

    def is_connected(self, some: Sequence[Started]) -> bool:
        return process_table.is_connected({int(one.address.rpartition(":")[2]) for one in some})

    def stop(self, place: Place, one: Started) -> str:
        return had_to_be_killed(place, one) if process_instances.stop(place, one) else ""

    def remains(self, one: Started) -> str:
        there = process_table.is_running(one.running)
        return f"{one.name} (pid {one.running.pid})" if there else ""

    def had_no_port(self, place: Place, instance: str) -> bool:
        return TAKEN in process_instances.last_words(place, instance).lower()

    def why_ended(self, place: Place, instance: str) -> str:
        return "ended by itself"

    def last_words(self, place: Place, instance: str) -> str:
        return process_instances.last_words(place, instance)

    def forget(self, place: Place) -> None:
        """Unpacked images stay: other environments of this home may run them."""

    def clear(self, place: Place) -> None:
        """Processes leave nothing else."""
