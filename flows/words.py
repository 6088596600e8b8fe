"""Words for people: durations, shares, and what each journal event says. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime

from tasks.errors import CorruptError
from tasks.evidence import Quarantine
from tasks.inspection import Drift
from tasks.journal.events import (
    Approved,
    BakedBody,
    Body,
    Bypassed,
    DriftFound,
    DriftLeft,
    Healed,
    Promoted,
    Quarantined,
    QuarantineLifted,
    ReleaseFinished,
    ReleaseStarted,
    RolledBack,
    RolloutStarted,
    Sampled,
    Scaled,
    StepStarted,
    VerdictGiven,
    WarmEnded,
    WentDown,
    Withdrawn,
    body_of,
)
from tasks.journal.waits import Wait, Waiting
from tasks.model import Lease, Verdict
from tasks.ports import Event


def duration(seconds: float) -> str:
    """Two units at most: `0.4 s`, `14 s`, `2 min 5 s`, `3 h`."""
    if abs(seconds) < 9.95:
        return f"{round(seconds, 1) + 0:.1f}".removesuffix(".0") + " s"  # + 0: never "-0"
    whole = round(seconds)
    for unit, size, small, part in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= (120 if size == 60 else size):
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def percent(share: float) -> str:
    """`21.3 %`. What is not 0 never reads as 0, what is not all never as 100."""
    if 0 < abs(share) < 0.0005:
        return "<0.1 %" if share > 0 else ">-0.1 %"
    if 0.9995 <= share < 1:
        return ">99.9 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def count(number: int, noun: str) -> str:
    """`1 request`, `2,000 requests`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def one_line(words: str) -> str:
    """Control characters could move the cursor or forge a line; a log's newlines become ` / `, its tabs spaces."""
    joined = " / ".join(part.strip() for part in words.splitlines() if part.strip())
    return "".join(map(_harmless, joined))


def _harmless(mark: str) -> str:
    if mark.isspace():
        return " "
    return mark if mark.isprintable() else "�"


def moment(at: datetime) -> str:
    """In UTC, wherever it was written down."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def clock(at: datetime) -> str:
    """Of today: `14:30:05`, in UTC."""
    return f"{at.astimezone(UTC):%H:%M:%S}"


def holder(lease: Lease) -> str:
    """Who holds a lease. Its owner is `host:boot:pid:start:what`; anything else is shown as it is."""
    parts = lease.owner.split(":", 4)
    return f"{parts[4]} (process {parts[2]} on {parts[0]})" if len(parts) == 5 else lease.owner


def event_words(event: Event) -> str:
    """What an event says, in a sentence without the full stop. One that cannot be read says so."""
    try:
        return body_words(body_of(event))
    except CorruptError as error:
        return f"{event.kind}: {error}"


def verdict_of(event: Event) -> Verdict | None:
    """The verdict that an event gives or carries out."""
    try:
        body = body_of(event)
    except CorruptError:
        return None
    match body:
        case VerdictGiven(judgement):
            return judgement.verdict
        case Withdrawn(verdict, _):
            return verdict
        case Promoted():
            return Verdict.PROMOTE
        case RolledBack():
            return Verdict.ROLL_BACK
    return None


def body_words(body: Body) -> str:
    match body:
        case BakedBody(source, artifact, reused):
            return f"baked {artifact.short} from {source}{_reused(reused)}"
        case ReleaseStarted(source, _, artifact, reused):
            return f"release of {artifact.short} started from {source}{_reused(reused)}"
        case ReleaseFinished(outcome):
            return f"release finished: {outcome}"
        case Approved(by, reason, how):
            return f"approved by {by} ({how}): {reason}"
        case Bypassed(gate, found, reason, by):
            return f"{gate} bypassed by {by}: {reason} (it said: {found})"
        case Sampled():
            return "sampled"
        case VerdictGiven(judgement):
            return f"{judgement.verdict.value}: {judgement.reason}"
        case _:
            return _rollout_words(body)


def _rollout_words(body: Body) -> str:
    match body:
        case RolloutStarted(_, artifact, replicas, _):
            return f"rollout of {artifact.short} started, {count(replicas, 'instance')} wanted"
        case StepStarted(index, step):
            return f"step {index + 1}: {step.name}"
        case Promoted(_, None):
            return "promoted"
        case Promoted(_, datetime() as warm):
            return f"promoted; the one before stays warm until {clock(warm)}"
        case Withdrawn(verdict, reason):
            return f"{'rolled back' if verdict is Verdict.ROLL_BACK else 'withdrawn'}: {reason}"
        case RolledBack(to, reason, by):
            return f"rolled back to {to.release} by {by}: {reason}"
        case _:
            return _upkeep_words(body)


def _upkeep_words(body: Body) -> str:
    match body:
        case Scaled(replicas):
            return f"scaled to {count(replicas, 'instance')}"
        case WarmEnded():
            return "is no longer kept warm"
        case WentDown():
            return "taken down"
        case Healed(reason):
            return f"healed: {reason}"
        case DriftFound() | DriftLeft():
            return _drift_event_words(body)
        case Quarantined(quarantine):
            return quarantine_words(quarantine)
        case QuarantineLifted(kind, what, reason, by):
            return f"quarantine of the {kind.value} {what} lifted by {by}: {reason}"
    return str(body)  # the bodies of waits.py, line.py, pushes.py and rebuilds.py say it themselves


def _drift_event_words(body: DriftFound | DriftLeft) -> str:
    if isinstance(body, DriftLeft):
        return (
            f"healed {count(body.times, 'time')} and back again, so it is left to people until"
            f" {moment(body.until)} UTC: {drift_words(body.drift)}"
        )
    if not body.drift:
        return "no drift any more"
    first, *others = body.drift
    more = f"; and {len(others):,} more" if others else ""
    return f"drift: {drift_words(first)}{more}"


def drift_words(drift: Drift) -> str:
    """What, where, when and by whom, as far as that is known, in a sentence without the full stop."""
    where = drift.instance or drift.group
    since = f", since {moment(drift.since)} UTC" if drift.since else ""
    who = f", by {drift.who}" if drift.who else ""
    should = f" (should be: {drift.should})" if drift.should else ""
    return f"{f'{where}: ' if where else ''}{drift.kind.value}: {drift.found}{should}{since}{who}"


def quarantine_words(quarantine: Quarantine) -> str:
    """Of what, by whom, until when, and why."""
    end = f"until {moment(quarantine.until)} UTC" if quarantine.until else "until it is lifted"
    return (
        f"the {quarantine.kind.value} {quarantine.what} is quarantined by {quarantine.by} {end}:"
        f" {quarantine.reason}"
    )


def _reused(reused: bool) -> str:
    return ", baked before from the same inputs" if reused else ""


def wait_words(wait: Wait) -> str:
    """What is waited for, until when, and what helps."""
    end = f", until {moment(wait.until)} UTC" if wait.until else ""
    return f"{wait.kind.value}{end}: {wait.reason}"


def waiting_words(release: str, waiting: Waiting, now: datetime) -> str:
    """Which release waits for what, since when, and what helps."""
    age = duration((now - waiting.since).total_seconds())
    return f"{release} has waited {age} for {wait_words(waiting.wait)}"
