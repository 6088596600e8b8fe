"""What can be written in the journal: one frozen body for each kind of event, and one table that pairs them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, Final

from pydantic import JsonValue, TypeAdapter, ValidationError

from tasks.errors import CorruptError
from tasks.evidence import Quarantine, QuarantineKind
from tasks.inspection import Drift
from tasks.journal.line import LineResumed, LineStopped, Notified, Repaid
from tasks.journal.pushes import PushAccepted, PushDropped, PushTaken
from tasks.journal.rebuilds import RebuildDone, RebuildFinished, RebuildPlanned
from tasks.journal.samples import PACKED, packed, unpacked
from tasks.journal.waits import Rejected, ReleaseWaits, WaitEnded
from tasks.model import (
    Artifact,
    Environment,
    Judgement,
    Lease,
    Sample,
    Source,
    Step,
    Unseen,
    Verdict,
)
from tasks.ports import Event, Journal
from tasks.service import ServiceSpec


class EventKind(StrEnum):
    """What a line says has happened, or is about to: intents are journalled before they are carried out."""

    BAKED = "baked"
    RELEASE_STARTED = "release started"
    ROLLOUT_STARTED = "rollout started"
    STEP_STARTED = "step started"
    SAMPLED = "sampled"
    VERDICT_GIVEN = "verdict given"
    APPROVED = "approved"
    BYPASSED = "bypassed"
    PROMOTED = "promoted"
    WITHDRAWN = "withdrawn"
    ROLLED_BACK = "rolled back"
    SCALED = "scaled"
    WARM_ENDED = "warm ended"
    WENT_DOWN = "went down"
    HEALED = "healed"
    DRIFT_FOUND = "drift found"
    DRIFT_LEFT = "drift left"
    RELEASE_FINISHED = "release finished"
    QUARANTINED = "quarantined"
    QUARANTINE_LIFTED = "quarantine lifted"
    RELEASE_WAITS = "release waits"
    WAIT_ENDED = "wait ended"
    REJECTED = "rejected"
    LINE_STOPPED = "line stopped"
    LINE_RESUMED = "line resumed"
    REPAID = "repaid"
    NOTIFIED = "notified"
    PUSH_ACCEPTED = "push accepted"
    PUSH_TAKEN = "push taken"
    PUSH_DROPPED = "push dropped"
    REBUILD_PLANNED = "rebuild planned"
    REBUILD_DONE = "rebuild done"
    REBUILD_FINISHED = "rebuild finished"


EVERY_SERVICE: Final = ""
"""The service of lines that are about no single one: `journal.events(EVERY_SERVICE)` reads these alone."""


@dataclass(frozen=True)
class Deployed:
    """One release's artifact that was promoted in an environment, `since` then. Its group is named `release`."""

    release: str
    artifact: Artifact
    replicas: int
    since: datetime


@dataclass(frozen=True)
class BakedBody:
    """`reused`: the same inputs had been baked before. `base`: digest of what it was baked on, empty for scratch."""

    source: Source
    artifact: Artifact
    reused: bool
    base: str = ""


@dataclass(frozen=True)
class ReleaseStarted:
    """Also when a release is taken up again: the newest line's source and spec count."""

    source: Source
    spec: ServiceSpec
    artifact: Artifact
    reused_bake: bool


@dataclass(frozen=True)
class RolloutStarted:
    """`flow_run` is the id of the Prefect run that does it, empty outside one."""

    environment: Environment
    artifact: Artifact
    replicas: int
    flow_run: str


@dataclass(frozen=True)
class StepStarted:
    """`index` counts from 0."""

    index: int
    step: Step


@dataclass(frozen=True)
class Sampled:
    sample: Sample | Unseen


@dataclass(frozen=True)
class VerdictGiven:
    judgement: Judgement


@dataclass(frozen=True)
class Approved:
    """`by` is a claim; `how` it came (command line, API, form)."""

    by: str
    reason: str
    how: str


@dataclass(frozen=True)
class Bypassed:
    """A gate said no, and somebody went on (invariant 11). `found` is what the gate said, `by` a claim."""

    gate: str
    found: str
    reason: str
    by: str


@dataclass(frozen=True)
class Promoted:
    """The candidate is stable from now on; the one before stays warm until `warm_until` (None: not at all)."""

    deployed: Deployed
    warm_until: datetime | None


@dataclass(frozen=True)
class Withdrawn:
    """The candidate goes. `verdict` is None where none was given: a crash, an error, an interruption."""

    verdict: Verdict | None
    reason: str


@dataclass(frozen=True)
class RolledBack:
    """`quarantine`: what it was that had to go (`artifact sha256:…`). Whom a quarantine has replaced stays vetted: the
    quarantine alone keeps it out, and can be lifted. Empty: it was rolled back for what it did."""

    to: Deployed
    reason: str
    by: str
    quarantine: str = ""


@dataclass(frozen=True)
class Scaled:
    replicas: int


@dataclass(frozen=True)
class WarmEnded:
    """The previous release is no longer kept ready."""


@dataclass(frozen=True)
class WentDown:
    """Everything of the environment is to be stopped. `by` is a claim."""

    reason: str = ""
    by: str = ""


@dataclass(frozen=True)
class Healed:
    """`cured`: causes of the drift that this took away (`Drift.cause`), if it was healed for drift."""

    reason: str
    cured: tuple[str, ...] = ()


@dataclass(frozen=True)
class DriftFound:
    """All drift that stands in the environment now, written when it is not what the line before said. None: it is over."""

    drift: tuple[Drift, ...]


@dataclass(frozen=True)
class DriftLeft:
    """It was healed `times` times, and came back: it is left to people until then."""

    drift: Drift
    times: int
    until: datetime


@dataclass(frozen=True)
class ReleaseFinished:
    """`outcome` is a sentence."""

    outcome: str


@dataclass(frozen=True)
class Quarantined:
    """Written under EVERY_SERVICE. Of several lines about the same thing the newest counts."""

    quarantine: Quarantine


@dataclass(frozen=True)
class QuarantineLifted:
    """Written under EVERY_SERVICE. `by` is a claim."""

    kind: QuarantineKind
    what: str
    reason: str
    by: str


Body = (
    BakedBody
    | ReleaseStarted
    | RolloutStarted
    | StepStarted
    | Sampled
    | VerdictGiven
    | Approved
    | Bypassed
    | Promoted
    | Withdrawn
    | RolledBack
    | Scaled
    | WarmEnded
    | WentDown
    | Healed
    | DriftFound
    | DriftLeft
    | ReleaseFinished
    | Quarantined
    | QuarantineLifted
    | ReleaseWaits
    | WaitEnded
    | Rejected
    | LineStopped
    | LineResumed
    | Repaid
    | Notified
    | PushAccepted
    | PushTaken
    | PushDropped
    | RebuildPlanned
    | RebuildDone
    | RebuildFinished
)

BODIES: Final[dict[EventKind, type[Body]]] = {
    EventKind.BAKED: BakedBody,
    EventKind.RELEASE_STARTED: ReleaseStarted,
    EventKind.ROLLOUT_STARTED: RolloutStarted,
    EventKind.STEP_STARTED: StepStarted,
    EventKind.SAMPLED: Sampled,
    EventKind.VERDICT_GIVEN: VerdictGiven,
    EventKind.APPROVED: Approved,
    EventKind.BYPASSED: Bypassed,
    EventKind.PROMOTED: Promoted,
    EventKind.WITHDRAWN: Withdrawn,
    EventKind.ROLLED_BACK: RolledBack,
    EventKind.SCALED: Scaled,
    EventKind.WARM_ENDED: WarmEnded,
    EventKind.WENT_DOWN: WentDown,
    EventKind.HEALED: Healed,
    EventKind.DRIFT_FOUND: DriftFound,
    EventKind.DRIFT_LEFT: DriftLeft,
    EventKind.RELEASE_FINISHED: ReleaseFinished,
    EventKind.QUARANTINED: Quarantined,
    EventKind.QUARANTINE_LIFTED: QuarantineLifted,
    EventKind.RELEASE_WAITS: ReleaseWaits,
    EventKind.WAIT_ENDED: WaitEnded,
    EventKind.REJECTED: Rejected,
    EventKind.LINE_STOPPED: LineStopped,
    EventKind.LINE_RESUMED: LineResumed,
    EventKind.REPAID: Repaid,
    EventKind.NOTIFIED: Notified,
    EventKind.PUSH_ACCEPTED: PushAccepted,
    EventKind.PUSH_TAKEN: PushTaken,
    EventKind.PUSH_DROPPED: PushDropped,
    EventKind.REBUILD_PLANNED: RebuildPlanned,
    EventKind.REBUILD_DONE: RebuildDone,
    EventKind.REBUILD_FINISHED: RebuildFinished,
}
KINDS: Final = {body: kind for kind, body in BODIES.items()}


def record(
    journal: Journal,
    service: str,
    environment: str,
    release: str,
    body: Body,
    lease: Lease | None = None,
) -> Event:
    """Append one event: the kind follows from the body, so that the two always fit."""
    return journal.append(
        KINDS[type(body)],
        service=service,
        environment=environment,
        release=release,
        body=written(body),
        lease=lease,
    )


def written(body: Body) -> dict[str, JsonValue]:
    """As it stands in the journal: plain JSON."""
    if isinstance(body, Sampled) and isinstance(body.sample, Sample):
        return packed(body.sample)
    plain: dict[str, JsonValue] = _adapter(KINDS[type(body)]).dump_python(body, mode="json")
    return plain


def kind_of(event: Event) -> EventKind:
    """CorruptError for a kind this version does not know: what follows from it cannot be known either."""
    try:
        return EventKind(event.kind)
    except ValueError as error:
        raise CorruptError(
            f"line {event.sequence} of the journal has the kind {event.kind!r}, which is not known here; was it"
            " written by a newer Bakewell? Use that one, or see `bakewell verify-journal`"
        ) from error


def body_of(event: Event) -> Body:
    """The typed body of an event; CorruptError, naming the line, if it cannot be read."""
    kind = kind_of(event)
    try:
        if kind is EventKind.SAMPLED and PACKED in event.body:
            return Sampled(unpacked(event.body))
        body: Body = _adapter(kind).validate_python(_upcast(kind, event.body))
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise CorruptError(
            f"line {event.sequence} of the journal ({event.kind}) cannot be read: {error!r}; `bakewell verify-journal`"
            " tells whether it was changed after it was written"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise CorruptError(
            f"line {event.sequence} of the journal ({event.kind}) cannot be read: at"
            f" {'.'.join(map(str, first['loc'])) or 'its top'}: {first['msg']}; `bakewell verify-journal` tells"
            " whether it was changed after it was written"
        ) from error
    return body


def _upcast(kind: EventKind, body: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Lines of older versions in today's words. Up to 0.2.0 a service's scan policy stood in its service.yaml; it is not
    today's policy any more, whatever it said."""
    spec = body.get("spec")
    if kind is not EventKind.RELEASE_STARTED or not isinstance(spec, dict) or "scan" not in spec:
        return dict(body)
    return {**body, "spec": {name: value for name, value in spec.items() if name != "scan"}}


@cache
def _adapter(kind: EventKind) -> TypeAdapter[Any]:
    """Built when first needed: a start that reads no such event does not pay for it."""
    return TypeAdapter(BODIES[kind])
