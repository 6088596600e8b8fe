"""The process platform, Bakewell's embedded default: instances are processes of this machine, Envoy splits the traffic.

What is there is read from the process table and from Envoy, never from what was written down. Files keep only what
neither can show: the newest fencing token, the port users were promised, and what a group with no instance left was.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from tasks.adapters import image_tree, process_instances, process_notes, process_table
from tasks.adapters.envoy import Endpoint, EnvoyProxy, Routing, proxy_of
from tasks.adapters.fencing import fenced
from tasks.adapters.probe import HttpProber
from tasks.adapters.process_instances import Place, Started
from tasks.adapters.safety import refuse_unsafe
from tasks.errors import NotReadyError, TransientError
from tasks.model import (
    Action,
    DrainGroup,
    EnsureGroup,
    Environment,
    FleetStatus,
    Group,
    GroupStatus,
    Health,
    Instance,
    RemoveGroup,
    ReplaceInstances,
    ShiftTraffic,
)
from tasks.ports import ArtifactStore

PROBE_SECONDS = 1.0
SECOND_PROBE_SECONDS = 3.0
STARTS_AT_MOST = 3
PATIENCE_SECONDS = 60.0  # beyond ready_seconds: the longest that a change in good health takes
TAKEN = "address already in use"


class ProcessFleet:
    """Fits ports.Fleet. Any number of these objects, in any number of processes, see and do the same."""

    def __init__(self, home: Path, open_store: Callable[[str], ArtifactStore]) -> None:
        self._home = home
        self._open_store = open_store
        self._prober = HttpProber()

    # ---- reading ---------------------------------------------------------------------------------

    def read(self, environment: Environment) -> FleetStatus:
        """Processes and Envoy are asked now; an instance is ready if its health path answers 200."""
        return self._status(Place(self._home, environment), self._proxy(environment).routed())

    def _status(self, place: Place, routing: Routing | None) -> FleetStatus:
        weights = dict(routing.weights) if routing else {}
        found = process_instances.instances(place)
        health = self._healths(found, place, routing)
        artifacts = {
            **process_notes.remembered(place),
            **{one.group: one.artifact for one in reversed(found)},
        }
        groups = tuple(
            GroupStatus(
                name,
                artifact,
                weights.get(name, 0),
                tuple(_instance(one, health[one]) for one in found if one.group == name),
            )
            for name, artifact in sorted(artifacts.items())
        )
        port = routing.listen_port if routing and sum(weights.values()) else 0
        return FleetStatus(groups, f"http://127.0.0.1:{port}" if port else "")

    def _health(self, one: Started, place: Place) -> Health:
        """Slow is not dead: a busy machine gets a second, longer chance before anything is replaced."""
        for seconds in (PROBE_SECONDS, SECOND_PROBE_SECONDS):
            with contextlib.suppress(TransientError):
                status, _ = self._prober.get(one.address, one.health, seconds)
                if status == 200:
                    return Health.READY
                break
        return _not_ready_yet(one, place)

    def _healths(
        self, found: Sequence[Started], place: Place, routing: Routing | None
    ) -> dict[Started, Health]:
        """Who should have traffic and is not in the splitter is not ready, however well it answers: a change was
        killed before it told the splitter, and must be seen to be unfinished."""
        answers = dict(zip(found, self._each(self._health, found, place), strict=True))
        if routing is None:
            return answers
        routed = {one.instance for one in routing.endpoints}
        left_out = [
            one for one in found if routing.weights.get(one.group) and one.name not in routed
        ]
        return answers | {one: _not_ready_yet(one, place) for one in left_out}

    @staticmethod
    def _each(
        ask: Callable[[Started, Place], Health], found: Sequence[Started], place: Place
    ) -> list[Health]:
        if not found:
            return []
        with ThreadPoolExecutor(min(32, len(found))) as pool:
            return list(pool.map(lambda one: ask(one, place), found))

    # ---- changing --------------------------------------------------------------------------------

    def apply(self, environment: Environment, action: Action, token: int) -> None:
        """One change; the environment is locked meanwhile, so a newer writer waits for what has begun."""
        place = Place(self._home, environment)
        with self._fenced(place, token):
            refuse_unsafe(self.read(environment), action)
            match action:
                case EnsureGroup(group):
                    self._ensure(place, group)
                case ShiftTraffic(weights):
                    self._route(place, dict(weights), self._proxy(environment).routed())
                case DrainGroup(name):
                    self._stop(place, lambda one: one.group == name)
                case ReplaceInstances(group, names):
                    self._stop(place, lambda one: one.group == group.name and one.name in names)
                case RemoveGroup(name):
                    self._forget(place, name)

    def down(self, environment: Environment, token: int) -> None:
        """Users first, then instances. Logs stay, and the token: a late writer stays refused."""
        place = Place(self._home, environment)
        with self._fenced(place, token):
            self._proxy(environment).stop()
            self._end(place, process_instances.instances(place))
            for name in ("groups", "envoy", "scratch"):
                shutil.rmtree(place.folder / name, ignore_errors=True)
            (place.folder / "listen-port").unlink(missing_ok=True)

    @staticmethod
    def _fenced(place: Place, token: int) -> AbstractContextManager[None]:
        seconds = place.environment.ready_seconds + PATIENCE_SECONDS
        return fenced(place.folder, place.environment.key, token, seconds)

    def _ensure(self, place: Place, group: Group) -> None:
        store = self._open_store(group.artifact.repository)
        tree = image_tree.unpacked(group.artifact, store, self._home / "trees")
        config = image_tree.configuration(group.artifact, store)
        process_notes.remember(place, group)

        def start() -> str:
            return process_instances.start(place, group, tree, config)

        found = [one for one in process_instances.instances(place) if one.group == group.name]
        healths = self._healths(found, place, None)
        missing = group.replicas - sum(one is Health.READY for one in healths.values())
        starting = [one.name for one, now in healths.items() if now is Health.STARTING][:missing]
        if missing > 0:
            fresh = [start() for _ in range(missing - len(starting))]
            self._until_ready(place, group, [*starting, *fresh], start)
        self._follow(place)

    def _until_ready(
        self, place: Place, group: Group, names: list[str], start: Callable[[], str]
    ) -> None:
        """Wait for all of them; the first that ends or does not come in time ends all that are not ready."""
        waiting, again = set(names), STARTS_AT_MOST
        end = time.monotonic() + place.environment.ready_seconds
        while waiting:
            there = {one.name: one for one in process_instances.instances(place)}
            for name in sorted(waiting):
                one = there.get(name)
                if (
                    one is None
                    and again
                    and TAKEN in process_instances.last_words(place, name).lower()
                ):
                    again -= 1  # somebody else was quicker with its port: that says nothing about the artifact
                    waiting = (waiting - {name}) | {start()}
                elif one is None or time.monotonic() > end:
                    raise self._not_ready(place, group, name, waiting, one is None)
                elif self._answers(one):
                    waiting = waiting - {name}
            time.sleep(0.02)

    def _answers(self, one: Started) -> bool:
        with contextlib.suppress(TransientError):
            return self._prober.get(one.address, one.health, PROBE_SECONDS)[0] == 200
        return False

    def _not_ready(
        self, place: Place, group: Group, name: str, waiting: Iterable[str], ended: bool
    ) -> NotReadyError:
        words = process_instances.last_words(place, name)
        found = process_instances.instances(place)
        self._end(place, [one for one in found if one.name in set(waiting)])
        limit = f"did not answer its health check within {place.environment.ready_seconds:g} s"
        return NotReadyError(
            f"{group.replicas} instances of {group.name} ({group.artifact.short}) should be ready; {name}"
            f" {'ended by itself' if ended else limit}; the end of its log ({place.log(name)}): {words}"
        )

    def _stop(self, place: Place, chosen: Callable[[Started], bool]) -> None:
        """Out of the splitter first, and what they have begun is finished, before they are asked to end."""
        leaving = [one for one in process_instances.instances(place) if chosen(one)]
        if not leaving:
            return
        end = time.monotonic() + max(one.grace_seconds for one in leaving)
        self._until_quiet(place, leaving, end)
        self._follow(place, without=leaving)
        while time.monotonic() < end and process_table.is_connected(_ports(leaving)):
            time.sleep(
                0.05
            )  # Envoy forgot them, and keeps a connection only while it has a request
        self._end(place, leaving)

    def _until_quiet(self, place: Place, leaving: Sequence[Started], end: float) -> None:
        """Let un-routed instances finish what they have, as long as Envoy still shows it."""
        proxy, names = self._proxy(place.environment), {one.name for one in leaving}
        routing = proxy.routed()
        if routing is None or any(routing.weights.get(one.group) for one in leaving):
            return
        while names & proxy.busy() and time.monotonic() < end:
            time.sleep(0.05)

    def _end(self, place: Place, leaving: Sequence[Started]) -> None:
        if leaving:
            with ThreadPoolExecutor(min(32, len(leaving))) as pool:
                list(pool.map(lambda one: process_instances.stop(place, one), leaving))
        if left := [one for one in leaving if process_table.is_running(one.running)]:
            raise TransientError(
                f"asked to stop {', '.join(f'{one.name} (pid {one.running.pid})' for one in left)}; SIGKILL did not"
                " end them in time: the kernel holds them, look at their disks; and try again"
            )

    def _forget(self, place: Place, name: str) -> None:
        process_notes.forget(place, name)
        self._follow(place)

    # ---- traffic ---------------------------------------------------------------------------------

    def _follow(self, place: Place, without: Sequence[Started] = ()) -> None:
        """Weights as they are, instances as they are now. Where Envoy does not run there is nothing to follow."""
        routing = self._proxy(place.environment).routed()
        if routing is not None:
            self._route(place, dict(routing.weights), routing, without)

    def _route(
        self,
        place: Place,
        weights: dict[str, int],
        now: Routing | None,
        without: Sequence[Started] = (),
    ) -> None:
        gone = {one.name for one in without}
        status = self._status(place, None)
        routed = {one.instance for one in now.endpoints} if now else set()
        endpoints = [
            Endpoint(group.name, one.name, one.address)
            for group in status.groups
            for one in _servants(group, routed, gone)
        ]
        known = {group.name for group in status.groups}
        kept = {name: weight for name, weight in weights.items() if weight or name in known}
        self._proxy(place.environment).route(process_notes.listen_port(place), endpoints, kept)

    def _proxy(self, environment: Environment) -> EnvoyProxy:
        return proxy_of(self._home, environment)


def _servants(
    group: GroupStatus, routed: AbstractSet[str], gone: AbstractSet[str]
) -> list[Instance]:
    """Who gets the group's requests: those that are ready, else those that have them now: that all of a group do not
    answer for a moment must not become an outage that lasts."""
    left = [one for one in group.instances if one.name not in gone]
    ready = [one for one in left if one.health is Health.READY]
    return ready or [one for one in left if one.name in routed]


def _instance(one: Started, health: Health) -> Instance:
    return Instance(one.name, health, one.address, one.started_at)


def _not_ready_yet(one: Started, place: Place) -> Health:
    age_seconds = (datetime.now(UTC) - one.started_at).total_seconds()
    return Health.STARTING if age_seconds < place.environment.ready_seconds else Health.UNREADY


def _ports(some: Iterable[Started]) -> set[int]:
    return {int(one.address.rpartition(":")[2]) for one in some}
