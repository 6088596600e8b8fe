"""The nouns every room shares: frozen values that know nothing of the world (DESIGN section 1).

All of them survive `pydantic.TypeAdapter(T).dump_python(value, mode="json")` and back: so they are journalled.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Generic, TypeVar

from pydantic import JsonValue

Answer = TypeVar("Answer", bound=Enum)


@dataclass(frozen=True)
class Decision(Generic[Answer]):
    """An answer, and the sentence that explains it to whoever reads the run."""

    answer: Answer
    reason: str


class Verdict(StrEnum):
    """What the canary has earned."""

    PROMOTE = "promote"
    ROLL_BACK = "roll back"
    KEEP_OBSERVING = "keep observing"
    INCONCLUSIVE = "inconclusive"


class Admission(StrEnum):
    """May this artifact run?"""

    ADMIT = "admit"
    REFUSE = "refuse"


# ---- what is released ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """A Git commit, or a named dirty tree. `commit` is the full SHA, empty outside Git.

    `repository` is the URL of the remote `origin` without credentials, else the folder's name.
    """

    repository: str
    commit: str
    dirty: bool

    def __str__(self) -> str:
        at = self.commit[:12] or "no commit"
        return f"{self.repository}@{at}{' (dirty tree)' if self.dirty else ''}"


@dataclass(frozen=True, order=True)
class Artifact:
    """An immutable unit. The digest is its identity; `repository` only says where its bytes are.

    `repository` is `layout:/absolute/folder` (the embedded default, an OCI image layout) or `host[:port]/name`
    (an OCI registry; plain http for loopback addresses).
    """

    service: str
    digest: str
    repository: str

    @property
    def reference(self) -> str:
        return f"{self.repository}@{self.digest}"

    @property
    def short(self) -> str:
        """For people: the first 12 hex digits."""
        return self.digest.removeprefix("sha256:")[:12]


class Label(StrEnum):
    """What a baked image's configuration says about itself: an artifact needs no file beside it to be run."""

    SERVICE = "bakewell.service"
    CONTENT_KEY = "bakewell.content-key"
    HEALTH = "bakewell.health"
    GRACE_SECONDS = "bakewell.grace-seconds"


# ---- where it runs -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Container:
    """What one container may use, where instances are containers. `cpus` in cores; `tmp_mb` is its /tmp, in memory; `log_mb`
    is kept of its log on the engine. MB are 2**20 bytes."""

    memory_mb: int = 512
    cpus: float = 1.0
    pids: int = 256
    tmp_mb: int = 64
    log_mb: int = 20


@dataclass(frozen=True)
class Environment:
    """A named place on one platform where one service runs. `listen_port` 0 = the platform chooses and keeps one.

    `ready_seconds`: how long an instance may take from its start until it is ready.
    """

    service: str
    name: str
    platform: str
    listen_port: int = 0
    ready_seconds: float = 60.0
    container: Container = field(default_factory=Container)

    @property
    def key(self) -> str:
        """`hello-production`: for names of folders, locks, clusters."""
        return f"{self.service}-{self.name}"


class Role(StrEnum):
    """What a group's traffic makes of it."""

    STABLE = "stable"
    CANARY = "canary"
    BASELINE = "baseline"
    WARM = "warm"


@dataclass(frozen=True)
class Group:
    """Desired instances of one artifact. `name` is the release's, or `<canary release>-baseline`; [a-z0-9-] only.

    `weight` is the group's share of traffic in percent.
    """

    name: str
    artifact: Artifact
    replicas: int
    weight: int
    role: Role


@dataclass(frozen=True)
class FleetSpec:
    """Desired groups of one environment. Weights sum to 100, or to 0 where nothing is routed yet (first start, down)."""

    groups: tuple[Group, ...] = ()

    def __post_init__(self) -> None:
        names = [group.name for group in self.groups]
        if len(set(names)) != len(names):
            raise ValueError(f"group names must differ, found {names}")
        if any(group.weight < 0 or group.replicas < 1 for group in self.groups):
            raise ValueError("weights must be 0 or more and replicas 1 or more")
        if (total := sum(group.weight for group in self.groups)) not in (0, 100):
            raise ValueError(f"weights must sum to 100, or to 0 before traffic; found {total}")

    def group(self, name: str) -> Group | None:
        return next((group for group in self.groups if group.name == name), None)

    @property
    def weights(self) -> dict[str, int]:
        return {group.name: group.weight for group in self.groups}


class Health(StrEnum):
    """Of one instance, as its platform sees it now."""

    STARTING = "starting"
    READY = "ready"
    UNREADY = "unready"
    DRAINING = "draining"
    DEAD = "dead"


@dataclass(frozen=True)
class Instance:
    """One running copy. `address` is `host:port`, empty when it has none yet."""

    name: str
    health: Health
    address: str
    started_at: datetime


@dataclass(frozen=True)
class GroupStatus:
    """What is really there of one group. `weight` is read back from the splitter, never assumed."""

    name: str
    artifact: Artifact
    weight: int
    instances: tuple[Instance, ...] = ()

    @property
    def ready(self) -> int:
        return sum(instance.health is Health.READY for instance in self.instances)


@dataclass(frozen=True)
class FleetStatus:
    """What is really there. `endpoint` is where users send requests (`http://127.0.0.1:8080`), empty if nothing listens."""

    groups: tuple[GroupStatus, ...] = ()
    endpoint: str = ""

    def group(self, name: str) -> GroupStatus | None:
        return next((group for group in self.groups if group.name == name), None)


# ---- what the planner may ask of a platform ------------------------------------------------------


@dataclass(frozen=True)
class EnsureGroup:
    """Have `group.replicas` ready instances of exactly `group.artifact`; start what is missing, stop nothing."""

    group: Group


@dataclass(frozen=True)
class ShiftTraffic:
    """Make the splitter's weights exactly these (they sum to 100, or are empty), and read them back."""

    weights: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class DrainGroup:
    """Stop an un-routed group kindly: finish requests in flight, end within its grace period, then kill."""

    name: str


@dataclass(frozen=True)
class RemoveGroup:
    """Forget a drained group: its endpoints, files, logs' rotation."""

    name: str


@dataclass(frozen=True)
class ReplaceInstances:
    """Stop exactly these instances of a group; fresh ones were started before (EnsureGroup with surplus) or are not needed."""

    group: Group
    instances: tuple[str, ...]


Action = EnsureGroup | ShiftTraffic | DrainGroup | RemoveGroup | ReplaceInstances


class Gate(StrEnum):
    """What must be true before the next step of a strategy."""

    READY = "ready"
    SMOKE = "smoke"
    OBSERVE = "observe"
    APPROVE = "approve"
    HOLD = "hold"


@dataclass(frozen=True)
class Step:
    """One step of a strategy: bring the fleet to `spec`, then pass `gate`. `name` is what people read."""

    name: str
    spec: FleetSpec
    gate: Gate


# ---- what is seen --------------------------------------------------------------------------------


@dataclass(frozen=True)
class LatencyHistogram:
    """Request counts by latency. `counts[i]` are those in (bounds_ms[i-1], bounds_ms[i]]; the last is above all bounds.

    Of a custom SLI the bounds have its own unit.
    """

    bounds_ms: tuple[float, ...] = ()
    counts: tuple[int, ...] = (0,)

    @property
    def total(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True)
class InstanceTraffic:
    """Requests one instance answered. `failures` are 5xx answers and broken connections. Cumulative in a Reading.

    `gauges`: what was measured at that moment, by name (memory in bytes); never cumulative. `ratios` (name, bad, total) and
    `histograms` are what a service counts of its own (custom SLIs). `scraped_at`: when somebody else looked at it for us;
    None where it was counted when it was read. A sample has none.
    """

    group: str
    instance: str
    requests: int
    failures: int
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)
    gauges: tuple[tuple[str, float], ...] = ()
    ratios: tuple[tuple[str, int, int], ...] = ()
    histograms: tuple[tuple[str, LatencyHistogram], ...] = ()
    scraped_at: datetime | None = None


@dataclass(frozen=True)
class Reading:
    """Cumulative counters of every instance at one moment. They restart at 0 with whoever counts."""

    at: datetime
    instances: tuple[InstanceTraffic, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One batch: what happened per instance between two readings, `seconds` apart."""

    at: datetime
    seconds: float
    instances: tuple[InstanceTraffic, ...] = ()


@dataclass(frozen=True)
class Unseen:
    """The metrics source could not be read at this moment; it says nothing about the service."""

    at: datetime
    reason: str


@dataclass(frozen=True)
class Judgement:
    """A verdict with its reason, and the numbers behind it for the report (flat, JSON)."""

    verdict: Verdict
    reason: str
    numbers: dict[str, JsonValue] = field(default_factory=dict)


# ---- who may change an environment ---------------------------------------------------------------


@dataclass(frozen=True)
class Lease:
    """The right to change one environment until `expires_at`. `token` grows with every change of owner.

    `environment` is empty for the lease on a whole release of a service. `owner` is `host:boot:pid:start:what`.
    """

    service: str
    environment: str
    owner: str
    token: int
    expires_at: datetime
