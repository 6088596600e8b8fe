"""What the lifecycle asks of the outside world: small protocols. Adapters fit by shape, not inheritance.

Every method may raise TransientError (asking again may help) or a RefusedError; nothing else leaves an adapter.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from tasks.evidence import Scanned, ScanNotDone, ScanReport
from tasks.inspection import Inspection
from tasks.model import (
    Action,
    Artifact,
    Environment,
    FleetStatus,
    GroupStatus,
    Lease,
    Reading,
    Unseen,
)
from tasks.notices import Notice, Target


@dataclass(frozen=True)
class Descriptor:
    """An OCI descriptor: what is at a digest. `annotations` as sorted pairs."""

    media_type: str
    digest: str
    size: int
    artifact_type: str = ""
    annotations: tuple[tuple[str, str], ...] = ()


class ArtifactStore(Protocol):
    """One repository of an OCI registry, or one OCI image layout folder. Everything read is checked against its digest.

    `repository` is the string that `Artifact.repository` holds.
    """

    @property
    def repository(self) -> str: ...

    def resolve(self, tag: str) -> str | None:
        """The digest a tag points to, or None. A digest resolves to itself if its manifest exists."""

    def manifest(self, digest: str) -> bytes:
        """Raw manifest or index. NotFoundError, CorruptError."""

    def put_manifest(self, raw: bytes, tag: str | None = None) -> str:
        """Store a manifest, optionally tagged; index it as a referrer if it has a `subject`. Its digest.

        Tags that machines keep (`oci.may_move`) move; any other is set once: TagConflictError if it is another's.
        """

    def tag_once(self, digest: str, tag: str) -> str:
        """Have a tag for people stand for a manifest that is there, for good. Its digest. NotFoundError,
        TagConflictError."""

    def has_blob(self, digest: str) -> bool: ...

    def blob(self, digest: str) -> bytes:
        """The whole blob: for configurations, signatures, SBOMs. NotFoundError, CorruptError."""

    def stream(self, digest: str) -> Iterator[bytes]:
        """The blob in parts; CorruptError at the end if the bytes are not the digest's. For layers."""

    def put_blob(self, content: bytes | Path, mount_from: str | None = None) -> Descriptor:
        """Store a blob (streamed from a Path); nothing is sent if it is there, or can be mounted from a repository."""

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """What names this manifest as its subject (referrers API, else the fallback tag)."""

    def tags(self) -> tuple[str, ...]: ...


class Scanner(Protocol):
    """Learns what is known to be wrong with an artifact, and what is inside. Never raises for 'could not scan': that is
    ScanNotDone."""

    def scan(self, artifact: Artifact, seconds: float) -> Scanned:
        """One look at the artifact, by its digest: report and bills of materials. Without the bills no scan is done."""

    def rescan(
        self, artifact: Artifact, cyclonedx: bytes, seconds: float
    ) -> ScanReport | ScanNotDone:
        """The vulnerabilities and licences of what a stored bill lists, by the newest database; nothing else is read."""


class Fleet(Protocol):
    """Where groups run and traffic is split. `token` is the lease's: one lower than any seen before is refused
    (LateWriterError). Applying the same action again changes nothing."""

    def read(self, environment: Environment) -> FleetStatus: ...

    def apply(self, environment: Environment, action: Action, token: int) -> None:
        """Returns when the effect is there and was read back. EnsureGroup: NotReadyError with the last lines of the log.

        UnsafeActionError instead of draining, replacing or un-routing the last ready group.
        """

    def down(self, environment: Environment, token: int) -> None:
        """Stop everything of this environment: splitter, instances, files. Artifacts stay."""


class Inspector(Protocol):
    """Looks for what somebody changed past us. It changes nothing."""

    def look(self, environment: Environment) -> Inspection:
        """Now. What its platform cannot show is in `not_looked`; TransientError if nothing could be looked at."""


class Prober(Protocol):
    """Asks one instance directly, past the splitter."""

    def get(self, address: str, path: str, seconds: float) -> tuple[int, str]:
        """Status and body (at most 64 kB). TransientError if nothing answered."""


class Metrics(Protocol):
    """Counts what instances answered."""

    def read(self, environment: Environment) -> Reading:
        """Cumulative counters now. MetricsUnreadableError if the source did not answer: never an empty Reading instead."""


@dataclass(frozen=True)
class WindowTotals:
    """What a whole service answered in some time."""

    failures: int
    requests: int


class PastMetrics(Protocol):
    """Remembers what was counted. MetricsUnreadableError if it does not answer."""

    def history(
        self, groups: Sequence[GroupStatus], start: datetime, end: datetime
    ) -> Sequence[Reading | Unseen]:
        """One reading at each scrape of the instances of these groups; Unseen where not all of them can be told."""

    def totals(self, seconds: float) -> WindowTotals | None:
        """Of the whole service, in the last `seconds`: for error budgets. None if it was not there for long enough."""


class Notifier(Protocol):
    """Tells people."""

    def send(self, target: Target, notice: Notice) -> None:
        """TransientError if it was not taken; InvalidInputError if its address is missing, or not understood."""


@dataclass(frozen=True)
class Event:
    """One line of the journal. `hash` covers every other field and `previous`, the hash of the line before.

    `environment` is empty for what concerns a whole release; `token` is 0 where no lease is needed.
    """

    sequence: int
    at: datetime
    kind: str
    service: str
    environment: str
    release: str
    body: Mapping[str, JsonValue]
    token: int
    previous: str
    hash: str


@dataclass(frozen=True)
class Entry:
    """What is to become a line of the journal."""

    kind: str
    service: str
    body: Mapping[str, JsonValue]
    environment: str = ""
    release: str = ""


class Journal(Protocol):
    """The append-only, hash-chained record, and the leases beside it (DESIGN section 6)."""

    def append(
        self,
        kind: str,
        *,
        service: str,
        environment: str = "",
        release: str = "",
        body: Mapping[str, JsonValue] | None = None,
        lease: Lease | None = None,
    ) -> Event:
        """Add one event. With a lease: in the same transaction the lease must still be the newest and unexpired,
        else LateWriterError and nothing is written."""

    def append_all(self, entries: Sequence[Entry]) -> Sequence[Event]:
        """All of them, one after the other, in one transaction: either all are there, or none."""

    def events(
        self, service: str | None = None, after: int = 0, kinds: Collection[str] = ()
    ) -> Sequence[Event]:
        """In order; of one service, or all; of these kinds, or all."""

    def kept_open(self) -> AbstractContextManager[None]:
        """Writes within it are quicker: for who writes often. To be ended by the thread that began it."""

    def acquire(self, service: str, environment: str, owner: str, seconds: float) -> Lease:
        """Take the lease if it is free, expired, or its owner is provably gone; else LeaseHeldError naming the owner,
        since when and until when. Each acquisition has a higher token than all before."""

    def renew(self, lease: Lease, seconds: float) -> Lease:
        """LateWriterError if somebody else has taken it since."""

    def release(self, lease: Lease) -> None:
        """Give it back; the token stays used. Nothing happens if it was taken over."""

    def forget_leases(self, service: str, beginning: str, free_seconds: float) -> int:
        """Of the service, on places whose name begins so, that nobody has held for so long. How many. Whoever acquires one of
        them later gets a higher token than any that was forgotten; whoever still believes to hold one writes nothing."""

    def holder(self, service: str, environment: str) -> Lease | None:
        """Who holds it now (unexpired, owner not provably gone), or None."""
