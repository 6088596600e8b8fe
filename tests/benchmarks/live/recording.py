"""What was seen of one release, as a small file: enough to judge it again, by any judge."""

import json
import lzma
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from flows.course import Course, Ending
from tasks.journal.rules import RolledBack, Sampled, VerdictGiven, body_of
from tasks.journal.samples import PACKED, packed, unpacked
from tasks.model import Gate, Judgement, Sample, Verdict
from tasks.ports import Event


@dataclass(frozen=True)
class Phase:
    """A time of observation: a step of the rollout, or the watch after it. `begun_at`: of its first reading. A watch is
    compared with its peers' past."""

    name: str
    begun_at: datetime
    peers: tuple[str, ...]
    watch: bool = False


@dataclass(frozen=True)
class Users:
    """What the load generator saw of the canary's version, and whether it kept its rate (requests per second)."""

    asked_rate: float
    kept_rate: float
    late_share: float
    requests: int
    harmed: int
    unanswered: int


@dataclass(frozen=True)
class Recording:
    """`seconds`: from the first reading to the verdict."""

    version: str
    rate: float
    canary: str
    phases: tuple[Phase, ...]
    samples: tuple[Sample, ...]
    verdict: Verdict
    reason: str
    seconds: float
    users: Users | None = None

    @property
    def begun_at(self) -> datetime:
        return self.phases[0].begun_at

    @property
    def name(self) -> str:
        return f"{self.version}-{self.rate:g}"

    def phase_at(self, at: datetime) -> Phase:
        return [one for one in self.phases if one.begun_at < at][-1]

    def after(self, at: datetime) -> float:
        """Seconds since its begin."""
        return (at - self.begun_at).total_seconds()


def recorded(version: str, rate: float, course: Course, events: Sequence[Event]) -> Recording:
    """From the journal: `course` is the rollout, `events` are all of its service, its watch among them."""
    phases, samples = list(_phases(course)), list(course.seen)
    verdict, reason, at = course.verdict, course.reason, samples[-1].at
    if course.ending is Ending.PROMOTED:
        watched, told = _watch(course, events)
        if watched:
            others = {one.group for each in samples for one in each.instances} - {course.release}
            phases.append(Phase("watch", _begun(watched[0]), tuple(sorted(others)), watch=True))
            samples += watched
        if told is not None:
            verdict, reason, at = told.verdict, told.reason, samples[-1].at
    return Recording(
        version,
        rate,
        course.release,
        tuple(phases),
        tuple(samples),
        verdict or Verdict.INCONCLUSIVE,
        reason or (course.verdicts[-1].judgement.reason if course.verdicts else ""),
        (at - phases[0].begun_at).total_seconds(),
    )


def _phases(course: Course) -> Iterable[Phase]:
    taken = [one for one in course.steps if one.step.gate is Gate.OBSERVE]
    for one in taken:
        first = next((sample for sample in course.seen if sample.at > one.at), None)
        groups = (group.name for group in one.step.spec.groups if group.weight)
        if first is not None:
            peers = tuple(name for name in groups if name != course.release)
            yield Phase(one.step.name, _begun(first), peers)


def _begun(first: Sample) -> datetime:
    return first.at - timedelta(seconds=first.seconds)


def _watch(course: Course, events: Sequence[Event]) -> tuple[list[Sample], Judgement | None]:
    """What was seen after the promotion, and the judgement that took it back."""
    later = [
        event
        for event in events
        if event.environment == course.environment.name and event.at > course.ended_at
    ]
    bodies = [body_of(one) for one in later if one.release == course.release]
    seen = [body.sample for body in bodies if isinstance(body, Sampled)]
    back = any(isinstance(body_of(one), RolledBack) for one in later)
    given = [body.judgement for body in bodies if isinstance(body, VerdictGiven)]
    return [one for one in seen if isinstance(one, Sample)], given[-1] if back else None


# ---- files ---------------------------------------------------------------------------------------


def store(found: Iterable[Recording], folder: Path) -> None:
    """One file each."""
    for one in found:
        data = {
            **asdict(replace(one, samples=())),
            "samples": [packed(sample)[PACKED] for sample in one.samples],
        }
        path = folder / f"{one.name}.json.xz"
        path.write_bytes(lzma.compress(json.dumps(data, default=str).encode(), preset=9))


def load(path: Path) -> Recording:
    data: dict[str, Any] = json.loads(lzma.decompress(path.read_bytes()))
    phases = (
        Phase(
            one["name"], datetime.fromisoformat(one["begun_at"]), tuple(one["peers"]), one["watch"]
        )
        for one in data["phases"]
    )
    found = {
        **data,
        "phases": tuple(phases),
        "samples": tuple(unpacked({PACKED: one}) for one in data["samples"]),
        "verdict": Verdict(data["verdict"]),
        "users": Users(**data["users"]) if data["users"] else None,
    }
    return Recording(**found)


def load_all(folder: Path) -> list[Recording]:
    return [load(path) for path in sorted(folder.glob("*.json.xz"))]
