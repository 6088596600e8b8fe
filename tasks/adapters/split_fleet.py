"""A platform whose instances stand behind an Envoy of ours: what is common to processes and containers.

What is there is read from whoever runs the instances and from Envoy, never from what was written down. Files keep only
what neither can show: the newest fencing token, the port users were promised, and what a group with no instance left was.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from tasks.adapters import fleet_notes
from tasks.adapters.envoy import Endpoint, EnvoyProxy, Routing, proxy_of
from tasks.adapters.fencing import fenced
from tasks.adapters.fleet_notes import Place
from tasks.adapters.probe import HttpProber
from tasks.adapters.process_instances import free_port
from tasks.adapters.safety import refuse_unsafe
from tasks.errors import NotReadyError, TransientError
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

PROBE_SECONDS: Final = 1.0
SECOND_PROBE_SECONDS: Final = 3.0
STARTS_AT_MOST: Final = 3
PATIENCE_SECONDS: Final = (
    60.0  # beyond ready_seconds: the longest that a change in good health takes
)


class Copy(Protocol):
    """One instance that was started, as it is found again. Who is not `alive` has ended, and is there to be seen."""

    @property
    def name(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def artifact(self) -> Artifact: ...
    @property
    def address(self) -> str: ...
    @property
    def health(self) -> str: ...
    @property
    def grace_seconds(self) -> float: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def alive(self) -> bool: ...


C = TypeVar("C", bound=Copy)


class Instances(Protocol[C]):
    """What makes instances, finds them and ends them: all that a platform of this kind has of its own."""

    def find(self, place: Place) -> list[C]:
        """All of the environment, oldest first."""

    def prepare(self, place: Place, group: Group) -> Callable[[int], list[str]]:
        """Have the image here; what starts that many more instances of the group, and gives their names."""

    def age_seconds(self, one: C) -> float:
        """Since its start, by the clock that its start was read from."""

    def is_connected(self, some: Sequence[C]) -> bool:
        """Whether anybody has a connection to one of them; False, too, where that cannot be seen."""

    def stop(self, place: Place, one: C) -> str:
        """SIGTERM, its grace period, SIGKILL; nothing of it is left, but its log. What people should know of how it ended,
        empty if it ended as it was asked to."""

    def remains(self, one: C) -> str:
        """What is left of a stopped one that should be gone, for people; empty if nothing."""

    def had_no_port(self, place: Place, instance: str) -> bool:
        """Whether it ended because somebody else was quicker with its port: that says nothing about the artifact."""

    def why_ended(self, place: Place, instance: str) -> str:
        """How one ended that nobody stopped: `ended by itself`."""

    def last_words(self, place: Place, instance: str) -> str:
        """The end of its log on one line."""

    def forget(self, place: Place) -> None:
        """A group was removed: what is kept only for it may go."""

    def clear(self, place: Place) -> None:
        """The environment goes: whatever is left of it besides its instances."""


class SplitFleet(Generic[C]):
    """Fits ports.Fleet. Any number of these objects, in any number of processes, see and do the same.

    `say` hears what people should know and no error tells: that an instance had to be killed.
    """

    def __init__(self, home: Path, instances: Instances[C], say: Callable[[str], None]) -> None:
        self._home = home
        self._instances = instances
        self._say = say
        self._prober = HttpProber()

    # ---- reading ---------------------------------------------------------------------------------

    def read(self, environment: Environment) -> FleetStatus:
        """Whoever runs the instances and Envoy are asked now; an instance is ready if its health path answers 200."""
        return self._status(Place(self._home, environment), self._proxy(environment).routed())

    def _status(self, place: Place, routing: Routing | None) -> FleetStatus:
        weights = dict(routing.weights) if routing else {}
        found = self._instances.find(place)
        health = self._healths(found, place, routing)
        artifacts = {
            **fleet_notes.remembered(place),
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

    def _health(self, one: C, place: Place) -> Health:
        """Slow is not dead: a busy machine gets a second, longer chance before anything is replaced."""
        if not one.alive:
            return Health.DEAD
        for seconds in (PROBE_SECONDS, SECOND_PROBE_SECONDS):
            with contextlib.suppress(TransientError):
                status, _ = self._prober.get(one.address, one.health, seconds)
                if status == 200:
                    return Health.READY
                break
        return self._not_ready_yet(one, place)

    def _not_ready_yet(self, one: C, place: Place) -> Health:
        young = self._instances.age_seconds(one) < place.environment.ready_seconds
        return Health.STARTING if young else Health.UNREADY

    def _healths(
        self, found: Sequence[C], place: Place, routing: Routing | None
    ) -> dict[C, Health]:
        """Who should have traffic and is not in the splitter is not ready, however well it answers: a change was
        killed before it told the splitter, and must be seen to be unfinished."""
        answers = dict(zip(found, self._each(self._health, found, place), strict=True))
        if routing is None:
            return answers
        routed = {one.instance for one in routing.endpoints}
        left_out = [
            one
            for one in found
            if one.alive and routing.weights.get(one.group) and one.name not in routed
        ]
        return answers | {one: self._not_ready_yet(one, place) for one in left_out}

    @staticmethod
    def _each(ask: Callable[[C, Place], Health], found: Sequence[C], place: Place) -> list[Health]:
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
            self._end(place, self._instances.find(place))
            self._instances.clear(place)
            for name in ("groups", "envoy", "scratch"):
                shutil.rmtree(place.folder / name, ignore_errors=True)
            (place.folder / "listen-port").unlink(missing_ok=True)

    @staticmethod
    def _fenced(place: Place, token: int) -> AbstractContextManager[None]:
        seconds = place.environment.ready_seconds + PATIENCE_SECONDS
        return fenced(place.folder, place.environment.key, token, seconds)

    def _ensure(self, place: Place, group: Group) -> None:
        start = self._instances.prepare(place, group)
        fleet_notes.remember(place, group)
        found = self._instances.find(place)
        healths = self._healths([one for one in found if one.group == group.name], place, None)
        missing = group.replicas - sum(one is Health.READY for one in healths.values())
        starting = [one.name for one, now in healths.items() if now is Health.STARTING][:missing]
        if missing > 0:
            self._leave_the_dead(place, found)
            fresh = start(missing - len(starting))
            self._until_ready(place, group, [*starting, *fresh], start)
        self._follow(place)

    def _leave_the_dead(self, place: Place, found: Sequence[C]) -> None:
        """Out of the splitter, before a fresh instance gets the address that one of them had: users of one group must not
        reach another."""
        routing = self._proxy(place.environment).routed()
        alive = {one.name for one in found if one.alive}
        if routing and {one.instance for one in routing.endpoints} - alive:
            self._follow(place)

    def _until_ready(
        self, place: Place, group: Group, names: list[str], start: Callable[[int], list[str]]
    ) -> None:
        """Wait for all of them; the first that ends or does not come in time ends all that are not ready."""
        waiting, again = set(names), STARTS_AT_MOST
        end = time.monotonic() + place.environment.ready_seconds
        while waiting:
            there = self._by_name(place)
            if waiting - there.keys():  # one look may miss who begins just now: its list is older
                there = {**there, **self._by_name(place)}
            for name in sorted(waiting):
                one = there.get(name)
                gone = one is None or not one.alive
                if gone and again and self._instances.had_no_port(place, name):
                    again -= 1
                    waiting = (waiting - {name}) | set(start(1))
                elif one is None or gone or time.monotonic() > end:
                    raise self._not_ready(place, group, name, waiting, gone)
                elif self._answers(one):
                    waiting = waiting - {name}
            time.sleep(0.02)

    def _by_name(self, place: Place) -> dict[str, C]:
        return {one.name: one for one in self._instances.find(place)}

    def _answers(self, one: C) -> bool:
        with contextlib.suppress(TransientError):
            return self._prober.get(one.address, one.health, PROBE_SECONDS)[0] == 200
        return False

    def _not_ready(
        self, place: Place, group: Group, name: str, waiting: Iterable[str], ended: bool
    ) -> NotReadyError:
        words = self._instances.last_words(place, name)
        limit = f"did not answer its health check within {place.environment.ready_seconds:g} s"
        how = self._instances.why_ended(place, name) if ended else limit
        self._end(place, [one for one in self._instances.find(place) if one.name in set(waiting)])
        return NotReadyError(
            f"{group.replicas} instances of {group.name} ({group.artifact.short}) should be ready; {name}"
            f" {how}; the end of its log ({place.log(name)}): {words}"
        )

    def _stop(self, place: Place, chosen: Callable[[C], bool]) -> None:
        """Out of the splitter first, and what they have begun is finished, before they are asked to end."""
        leaving = [one for one in self._instances.find(place) if chosen(one)]
        if not leaving:
            return
        end = time.monotonic() + max(one.grace_seconds for one in leaving)
        self._until_quiet(place, leaving, end)
        self._follow(place, without=leaving)
        # Envoy forgot them, and keeps a connection only while it has a request.
        while time.monotonic() < end and self._instances.is_connected(leaving):
            time.sleep(0.05)
        self._end(place, leaving)

    def _until_quiet(self, place: Place, leaving: Sequence[C], end: float) -> None:
        """Let un-routed instances finish what they have, as long as Envoy still shows it."""
        proxy, names = self._proxy(place.environment), {one.name for one in leaving}
        routing = proxy.routed()
        if routing is None or any(routing.weights.get(one.group) for one in leaving):
            return
        while names & proxy.busy() and time.monotonic() < end:
            time.sleep(0.05)

    def _end(self, place: Place, leaving: Sequence[C]) -> None:
        if not leaving:
            return
        with ThreadPoolExecutor(min(32, len(leaving))) as pool:
            told = list(pool.map(lambda one: self._instances.stop(place, one), leaving))
        for line in filter(None, told):
            self._say(line)
        if left := [what for one in leaving if (what := self._instances.remains(one))]:
            raise TransientError(
                f"asked to stop {', '.join(left)}; SIGKILL did not end them in time: the kernel holds them, look at their"
                " disks; and try again"
            )

    def _forget(self, place: Place, name: str) -> None:
        self._end(place, [one for one in self._instances.find(place) if one.group == name])
        fleet_notes.forget(place, name)
        self._follow(place)
        self._instances.forget(place)

    # ---- traffic ---------------------------------------------------------------------------------

    def _follow(self, place: Place, without: Sequence[C] = ()) -> None:
        """Weights as they are, instances as they are now. Where Envoy does not run there is nothing to follow."""
        routing = self._proxy(place.environment).routed()
        if routing is not None:
            self._route(place, dict(routing.weights), routing, without)

    def _route(
        self,
        place: Place,
        weights: dict[str, int],
        now: Routing | None,
        without: Sequence[C] = (),
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
        port = fleet_notes.listen_port(place, lambda: self._free_port(status))
        self._proxy(place.environment).route(port, endpoints, kept)

    @staticmethod
    def _free_port(status: FleetStatus) -> int:
        """One that no instance was promised."""
        return free_port({one.address for group in status.groups for one in group.instances})

    def _proxy(self, environment: Environment) -> EnvoyProxy:
        return proxy_of(self._home, environment)


def _servants(
    group: GroupStatus, routed: AbstractSet[str], gone: AbstractSet[str]
) -> list[Instance]:
    """Who gets the group's requests: those that are ready, else those that have them now: that all of a group do not
    answer for a moment must not become an outage that lasts."""
    left = [
        one for one in group.instances if one.name not in gone and one.health is not Health.DEAD
    ]
    ready = [one for one in left if one.health is Health.READY]
    return ready or [one for one in left if one.name in routed]


def _instance(one: Copy, health: Health) -> Instance:
    return Instance(one.name, health, one.address if one.alive else "", one.started_at)


def had_to_be_killed(place: Place, one: Copy) -> str:
    """For people."""
    return (
        f"{one.name} did not end within its {one.grace_seconds:g} s of grace and was killed, with whatever it still had"
        f" to do: its log is {place.log(one.name)}; let it end on SIGTERM, or give it more grace_seconds"
    )
