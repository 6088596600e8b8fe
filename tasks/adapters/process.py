"""The process platform, Bakewell's embedded default: instances are processes of this machine, Envoy splits the traffic.

What is there is read from the process table and from Envoy, never from what was written down. Files keep only what
neither can show: the newest fencing token, the port users were promised, and what a group with no instance left was.
"""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tasks.adapters import image_tree, process_instances
from tasks.adapters.envoy import Endpoint, EnvoyProxy, Routing, proxy_of
from tasks.adapters.file_lock import locked
from tasks.adapters.probe import HttpProber
from tasks.adapters.process_instances import Place, Started
from tasks.adapters.safety import refuse_unsafe
from tasks.errors import LateWriterError, NotReadyError, RefusedError, TransientError
from tasks.model import (
    Action,
    Artifact,
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
        health = dict(zip(found, self._each(self._health, found, place), strict=True))
        artifacts = {**_remembered(place), **{one.group: one.artifact for one in reversed(found)}}
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
        return Health.STARTING if _age(one) < place.environment.ready_seconds else Health.UNREADY

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
        with _fenced(place, token):
            refuse_unsafe(self.read(environment), action)
            match action:
                case EnsureGroup(group):
                    self._ensure(place, group)
                case ShiftTraffic(weights):
                    self._route(place, dict(weights))
                case DrainGroup(name):
                    self._stop(place, lambda one: one.group == name)
                case ReplaceInstances(group, names):
                    self._stop(place, lambda one: one.group == group.name and one.name in names)
                case RemoveGroup(name):
                    self._forget(place, name)

    def down(self, environment: Environment, token: int) -> None:
        """Users first, then instances. Logs stay, and the token: a late writer stays refused."""
        place = Place(self._home, environment)
        with _fenced(place, token):
            self._proxy(environment).stop()
            self._end(place, process_instances.instances(place))
            for name in ("groups", "envoy", "scratch"):
                shutil.rmtree(place.folder / name, ignore_errors=True)
            (place.folder / "listen-port").unlink(missing_ok=True)

    def _ensure(self, place: Place, group: Group) -> None:
        store = self._open_store(group.artifact.repository)
        tree = image_tree.unpacked(group.artifact, store, self._home / "trees")
        config = image_tree.configuration(group.artifact, store)
        _remember(place, group)

        def start() -> str:
            return process_instances.start(place, group, tree, config)

        found = [one for one in process_instances.instances(place) if one.group == group.name]
        healths = dict(zip(found, self._each(self._health, found, place), strict=True))
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
        self._until_quiet(place, leaving)
        self._follow(place, without=leaving)
        self._end(place, leaving)

    def _until_quiet(self, place: Place, leaving: Sequence[Started]) -> None:
        """Let un-routed instances finish what they have, at most for their grace period."""
        proxy, names = self._proxy(place.environment), {one.name for one in leaving}
        routing = proxy.routed()
        if routing is None or any(routing.weights.get(one.group) for one in leaving):
            return
        end = time.monotonic() + max(one.grace_seconds for one in leaving)
        while names & proxy.busy() and time.monotonic() < end:
            time.sleep(0.05)

    def _end(self, place: Place, leaving: Sequence[Started]) -> None:
        if leaving:
            with ThreadPoolExecutor(min(32, len(leaving))) as pool:
                list(pool.map(lambda one: process_instances.stop(place, one), leaving))

    def _forget(self, place: Place, name: str) -> None:
        _note(place, name).unlink(missing_ok=True)
        self._follow(place)

    # ---- traffic ---------------------------------------------------------------------------------

    def _follow(self, place: Place, without: Sequence[Started] = ()) -> None:
        """Weights as they are, instances as they are now. Where Envoy does not run there is nothing to follow."""
        routing = self._proxy(place.environment).routed()
        if routing is not None:
            self._route(place, dict(routing.weights), without)

    def _route(
        self, place: Place, weights: dict[str, int], without: Sequence[Started] = ()
    ) -> None:
        gone = {one.name for one in without}
        status = self._status(place, None)
        endpoints = [
            Endpoint(group.name, one.name, one.address)
            for group in status.groups
            for one in group.instances
            if one.health is Health.READY and one.name not in gone
        ]
        known = {group.name for group in status.groups}
        kept = {name: weight for name, weight in weights.items() if weight or name in known}
        self._proxy(place.environment).route(_listen_port(place), endpoints, kept)

    def _proxy(self, environment: Environment) -> EnvoyProxy:
        return proxy_of(self._home, environment)


def _instance(one: Started, health: Health) -> Instance:
    return Instance(one.name, health, one.address, one.started_at)


def _age(one: Started) -> float:
    return (datetime.now(UTC) - one.started_at).total_seconds()


@contextmanager
def _fenced(place: Place, token: int) -> Iterator[None]:
    """Invariant 6: who comes with an older token than one that was seen is late, and changes nothing."""
    path = place.folder / "fence"
    try:
        with locked(place.folder / "fence.lock"):
            newest = int(path.read_text()) if path.exists() else 0
            if token < newest:
                raise LateWriterError(
                    f"a change of {place.environment.key} came with token {token}, but token {newest} was seen:"
                    " somebody else took over. Nothing was changed; stop, and let the newer owner finish"
                )
            if token > newest:
                beside = path.with_suffix(".new")
                beside.write_text(str(token))
                beside.replace(path)
            yield
    except OSError as error:
        raise RefusedError(
            f"asked to change {place.environment.key}; found {error.strerror or error} in {place.folder}; check the disk"
        ) from error


def _listen_port(place: Place) -> int:
    """Configured, or chosen once and kept: users know it."""
    if place.environment.listen_port:
        return place.environment.listen_port
    path = place.folder / "listen-port"
    if path.exists() and (text := path.read_text().strip()).isdigit():
        return int(text)
    port = process_instances.free_port({one.address for one in process_instances.instances(place)})
    beside = path.with_suffix(".new")
    beside.write_text(str(port))
    beside.replace(path)
    return port


# ---- groups that may have no instance left -------------------------------------------------------


def _note(place: Place, group: str) -> Path:
    return place.folder / "groups" / f"{group}.json"


def _remember(place: Place, group: Group) -> None:
    path = _note(place, group.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(asdict(group.artifact)))
    beside.replace(path)


def _remembered(place: Place) -> dict[str, Artifact]:
    found = {}
    for path in (place.folder / "groups").glob("*.json"):
        with contextlib.suppress(OSError, ValueError, TypeError):
            found[path.stem] = Artifact(**json.loads(path.read_text()))
    return found
