"""A platform in memory: instances, traffic and time are values that a test sets. Satisfies every port.

It is as strict as a real platform (fencing, safety, read-back) and can fail in all the ways a real one can: before,
half-way through or after an effect, with an error or by a crash. It starts no thread and opens no socket.
"""

import itertools
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

from tasks.adapters.memory_changes import (
    smallest_changes,
    with_health,
    without_instance,
)
from tasks.adapters.memory_faults import Fault, Moment, strike, wall_clock
from tasks.adapters.memory_inspection import Tampering, inspected
from tasks.adapters.memory_traffic import Behaviour, Counters
from tasks.adapters.safety import refuse_unsafe
from tasks.errors import LateWriterError, MetricsUnreadableError, NotReadyError, TransientError
from tasks.evidence import Scanned, ScanNotDone, ScanReport
from tasks.inspection import Inspection
from tasks.model import (
    Action,
    Artifact,
    EnsureGroup,
    Environment,
    FleetStatus,
    Group,
    Health,
    Instance,
    Reading,
)


@dataclass
class Place:
    """What is in one environment."""

    status: FleetStatus = field(default_factory=FleetStatus)
    token: int = 0
    counters: Counters = field(default_factory=Counters)
    served_until: datetime | None = None


class World:
    """Everything outside. Its ports are `fleet`, `metrics`, `prober` and `scanner`; the rest is for tests to set and read.

    `behaviours` says how instances of a digest behave, `demand_per_second` how many requests users send to each
    environment, `tampering` what somebody did past us. `applied` lists the actions that took effect, `started` the digest of every instance ever started,
    `watch` is told before and after of every smallest change.
    """

    def __init__(self, clock: Callable[[], datetime] = wall_clock) -> None:
        self.clock = clock
        self.demand_per_second = 100.0
        self.behaviours: dict[str, Behaviour] = {}
        self.scans: dict[str, ScanReport | ScanNotDone] = {}
        self.metrics_outage = ""
        self.tampering: dict[Environment, Tampering] = {}
        self.applied: list[Action] = []
        self.started: list[str] = []
        self.watch: Callable[[FleetStatus, FleetStatus], None] = lambda before, after: None
        self.lock = threading.RLock()
        self.fleet = MemoryFleet(self)
        self.metrics = MemoryMetrics(self)
        self.prober = MemoryProber(self)
        self.scanner = MemoryScanner(self)
        self.inspector = MemoryInspector(self)
        self._places: dict[Environment, Place] = {}
        self._faults: list[Fault] = []
        self._numbers = itertools.count(1)
        self._actions_seen = 0

    # ---- what a test does to it ------------------------------------------------------------------

    def fail(self, nth: int, moment: Moment, error: BaseException | None = None) -> None:
        """Let the `nth` action from now (1 = the next) go wrong: a TransientError, or the error given; `Crash()` kills."""
        wrong = error or TransientError(f"the action failed {moment.value} its effect, as told to")
        self._faults.append(Fault(self._actions_seen + nth, moment, wrong))

    def calm(self) -> None:
        """Forget the failures that have not struck yet."""
        self._faults.clear()

    def place(self, environment: Environment) -> Place:
        return self._places.setdefault(environment, Place())

    def set_status(self, environment: Environment, status: FleetStatus) -> None:
        """Make this be there, whatever was."""
        with self.lock:
            self.serve(environment)
            self.place(environment).status = status

    def set_health(self, environment: Environment, instance: str, health: Health) -> None:
        """Let one instance die, sicken or recover."""
        self.set_status(environment, with_health(instance, health, self.place(environment).status))

    def tamper(self, environment: Environment, group: str, artifact: Artifact) -> None:
        """Let a group run other bytes than it was started with."""
        status = self.place(environment).status
        groups = (
            replace(one, artifact=artifact) if one.name == group else one for one in status.groups
        )
        self.set_status(environment, replace(status, groups=tuple(groups)))

    # ---- what its ports share --------------------------------------------------------------------

    def behaviour(self, digest: str) -> Behaviour:
        return self.behaviours.get(digest, Behaviour())

    def serve(self, environment: Environment) -> None:
        """Let what is there now answer the requests that users sent since the last look."""
        place, now = self.place(environment), self.clock()
        seconds = (now - (place.served_until or now)).total_seconds()
        place.served_until = now
        place.counters.serve(place.status, self.demand_per_second * max(0.0, seconds))

    def change(
        self, environment: Environment, change: Callable[[FleetStatus], FleetStatus]
    ) -> None:
        place = self.place(environment)
        before, place.status = place.status, change(place.status)
        self.watch(before, place.status)

    def start(self, group: Group) -> Instance:
        self.started.append(group.artifact.digest)
        number = next(self._numbers)
        ready = self.behaviour(group.artifact.digest).becomes_ready
        health = Health.READY if ready else Health.UNREADY
        return Instance(f"{group.name}-m{number}", health, f"memory:{number}", self.clock())

    def next_fault(self) -> Fault | None:
        self._actions_seen += 1
        return next((fault for fault in self._faults if fault.nth == self._actions_seen), None)

    def find(self, address: str) -> tuple[Instance, Behaviour] | None:
        """The instance at an address, and how it behaves."""
        everything = (
            (instance, self.behaviour(group.artifact.digest))
            for place in self._places.values()
            for group in place.status.groups
            for instance in group.instances
        )
        return next((found for found in everything if found[0].address == address), None)


class MemoryFleet:
    """The Fleet port of a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def read(self, environment: Environment) -> FleetStatus:
        with self._world.lock:
            self._world.serve(environment)
            status = self._world.place(environment).status
            routed = any(group.weight > 0 for group in status.groups)
            return replace(status, endpoint=f"memory://{environment.key}" if routed else "")

    def apply(self, environment: Environment, action: Action, token: int) -> None:
        with self._world.lock:
            fault = self._world.next_fault()
            strike(fault, Moment.BEFORE)
            self._fence(environment, token)
            self._world.serve(environment)
            refuse_unsafe(self._world.place(environment).status, action)
            self._do(environment, action, fault)
            self._world.applied.append(action)
            strike(fault, Moment.AFTER)

    def down(self, environment: Environment, token: int) -> None:
        with self._world.lock:
            self._fence(environment, token)
            self._world.serve(environment)
            self._world.place(environment).status = FleetStatus()

    def _fence(self, environment: Environment, token: int) -> None:
        place = self._world.place(environment)
        if token < place.token:
            raise LateWriterError(
                f"a change of {environment.key} came with token {token}, but token {place.token} was seen: somebody"
                " else took over. Nothing was changed; stop, and let the newer owner finish"
            )
        place.token = token

    def _do(self, environment: Environment, action: Action, fault: Fault | None) -> None:
        before = self._world.place(environment).status
        changes = list(smallest_changes(before, action, self._world.start))
        for number, change in enumerate(changes, 1):
            self._world.change(environment, change)
            if number == (len(changes) + 1) // 2:
                strike(fault, Moment.HALFWAY)
        if isinstance(action, EnsureGroup):
            self._check_ready(environment, action.group, before)

    def _check_ready(self, environment: Environment, group: Group, before: FleetStatus) -> None:
        """What did not become ready is stopped again: asking twice must not pile up instances."""
        found = self._world.place(environment).status.group(group.name)
        if found is None or found.ready >= group.replicas:
            return
        known = before.group(group.name)
        old = {one.name for one in known.instances} if known else set()
        for one in found.instances:
            if one.name not in old and one.health is not Health.READY:
                self._world.change(environment, partial(without_instance, group.name, one.name))
        words = self._world.behaviour(group.artifact.digest).last_words
        raise NotReadyError(
            f"{group.replicas} instances of {group.name} ({group.artifact.short}) should be ready, {found.ready} are;"
            f" the end of the log: {words or '(it is empty)'}. Fix the release; stable serves as before"
        )


class MemoryMetrics:
    """The Metrics port of a world. `metrics_outage` makes it unreadable."""

    def __init__(self, world: World) -> None:
        self._world = world

    def read(self, environment: Environment) -> Reading:
        world = self._world
        if world.metrics_outage:
            raise MetricsUnreadableError(
                f"the counters of {environment.key} could not be read: {world.metrics_outage}"
            )
        with world.lock:
            world.serve(environment)
            traffic = world.place(environment).counters.traffic(world.behaviour)
            return Reading(world.clock(), traffic)


class MemoryProber:
    """The Prober port of a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def get(self, address: str, path: str, seconds: float) -> tuple[int, str]:
        found = self._world.find(address)
        if found is None or found[0].health is not Health.READY:
            raise TransientError(f"nothing answered at {address}{path} within {seconds:g} s")
        _, behaviour = found
        return behaviour.pages.get(path, (behaviour.status, behaviour.body))


class MemoryScanner:
    """The Scanner port of a world: what `scans` says of a digest, else a clean report."""

    def __init__(self, world: World) -> None:
        self._world = world

    def scan(self, artifact: Artifact, seconds: float) -> Scanned:
        component = {"type": "application", "name": artifact.service, "version": artifact.digest}
        bill = {"bomFormat": "CycloneDX", "specVersion": "1.7", "components": [component]}
        document = {"spdxVersion": "SPDX-2.3", "name": artifact.service, "packages": []}
        cyclonedx, spdx = (json.dumps(one, sort_keys=True).encode() for one in (bill, document))
        return Scanned(self._said(artifact), cyclonedx, spdx)

    def rescan(
        self, artifact: Artifact, cyclonedx: bytes, seconds: float
    ) -> ScanReport | ScanNotDone:
        report = self._said(artifact)
        return replace(report, of_bill=True) if isinstance(report, ScanReport) else report

    def _said(self, artifact: Artifact) -> ScanReport | ScanNotDone:
        now = self._world.clock()
        clean = ScanReport(artifact.digest, "memory", now, now, packages=1)
        return self._world.scans.get(artifact.digest, clean)


class MemoryInspector:
    """The Inspector port of a world: what `tampering` says of an environment."""

    def __init__(self, world: World) -> None:
        self._world = world

    def look(self, environment: Environment) -> Inspection:
        with self._world.lock:
            status = self._world.place(environment).status
            done = self._world.tampering.get(environment, Tampering())
            return inspected(status, done, self._world.clock())


WORLDS: Final[dict[str, World]] = {}


def world_named(name: str) -> World:
    """The world of that name in this process, made when it is first asked for."""
    return WORLDS.setdefault(name, World())
