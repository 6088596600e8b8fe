"""The course of a rollout: its steps, samples and verdicts, read from the journal for those who draw and report it. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from tasks.journal.rules import (
    Bypassed,
    Promoted,
    RolloutStarted,
    Sampled,
    StepStarted,
    VerdictGiven,
    Withdrawn,
    body_of,
)
from tasks.lanes import Barrier
from tasks.model import Artifact, Environment, Gate, Judgement, Role, Sample, Step, Unseen, Verdict
from tasks.ports import Event


class Ending(StrEnum):
    """How a rollout ended, in a word for people."""

    GOES_ON = "goes on"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class Taken:
    """A step, and when it was begun."""

    at: datetime
    step: Step


@dataclass(frozen=True)
class Judged:
    """A verdict, when it was given, and in which step; None before the first."""

    at: datetime
    step: Step | None
    judgement: Judgement


@dataclass(frozen=True)
class Course:
    """One attempt to bring a release into an environment. `ended_at` is that of its newest event while it goes on.

    `earlier`: samples of attempts before this one that promoted nothing: the judge goes on with them. `hurried`: it was judged
    without a minimum time. `flow_run`: the Prefect run that did it, empty outside one.
    """

    release: str
    environment: Environment
    artifact: Artifact
    started_at: datetime
    ended_at: datetime
    ending: Ending = Ending.GOES_ON
    reason: str = ""
    verdict: Verdict | None = None
    steps: tuple[Taken, ...] = ()
    samples: tuple[Sample | Unseen, ...] = ()
    verdicts: tuple[Judged, ...] = ()
    earlier: tuple[Sample | Unseen, ...] = ()
    hurried: bool = False
    flow_run: str = ""

    @property
    def seconds(self) -> float:
        return (self.ended_at - self.started_at).total_seconds()

    @property
    def name(self) -> str:
        return f"{self.environment.service} {self.release} in {self.environment.name}"

    @property
    def observed(self) -> bool:
        """Whether a gate looked at traffic."""
        return any(taken.step.gate is Gate.OBSERVE for taken in self.steps)

    @property
    def groups(self) -> tuple[str, ...]:
        """All that took part, in the order in which users met them."""
        planned = (group.name for taken in self.steps for group in taken.step.spec.groups)
        met = (one.group for sample in self.seen for one in sample.instances)
        return tuple(dict.fromkeys((*planned, *met)))

    @property
    def seen(self) -> tuple[Sample, ...]:
        return tuple(sample for sample in self.samples if isinstance(sample, Sample))

    def role(self, group: str) -> Role:
        """Its role during the rollout: the judged group is the canary, also on a first rollout."""
        if group == self.release:
            return Role.CANARY
        roles = (
            one.role for taken in self.steps for one in taken.step.spec.groups if one.name == group
        )
        return next(roles, Role.STABLE)


def courses(events: Iterable[Event], service: str, release: str) -> tuple[Course, ...]:
    """Every attempt to roll this release out, in order. Events must be in order, too."""
    found: list[Course] = []
    open_at: dict[str, int] = {}
    hurried: set[str] = set()
    for event in events:
        if (event.service, event.release) != (service, release):
            continue
        body = body_of(event)
        if isinstance(body, RolloutStarted):
            open_at[event.environment] = len(found)
            start = Course(release, body.environment, body.artifact, event.at, event.at)
            start = replace(start, hurried=event.environment in hurried, flow_run=body.flow_run)
            found.append(replace(start, earlier=_evidence(found, event.environment)))
        elif isinstance(body, Bypassed) and body.gate == Barrier.OBSERVATION:
            hurried.add(event.environment)
        elif (place := open_at.get(event.environment)) is not None:
            found[place] = _continued(found[place], event, body)
            if found[place].ending is not Ending.GOES_ON:
                del open_at[event.environment]
    return tuple(found)


def _evidence(before: Sequence[Course], environment: str) -> tuple[Sample | Unseen, ...]:
    """What earlier attempts saw. Once promoted, a release begins anew."""
    here = [course for course in before if course.environment.name == environment]
    if not here or here[-1].ending is Ending.PROMOTED:
        return ()
    return (*here[-1].earlier, *here[-1].samples)


def _continued(course: Course, event: Event, body: object) -> Course:
    course = replace(course, ended_at=event.at)
    match body:
        case StepStarted():
            return replace(course, steps=(*course.steps, Taken(event.at, body.step)))
        case Sampled():
            return replace(course, samples=(*course.samples, body.sample))
        case VerdictGiven():
            step = course.steps[-1].step if course.steps else None
            judged = Judged(event.at, step, body.judgement)
            return replace(course, verdicts=(*course.verdicts, judged))
        case Promoted():
            return replace(course, ending=Ending.PROMOTED, verdict=Verdict.PROMOTE)
        case Withdrawn():
            bad = body.verdict is Verdict.ROLL_BACK
            ending = Ending.ROLLED_BACK if bad else Ending.WITHDRAWN
            return replace(course, ending=ending, reason=body.reason, verdict=body.verdict)
    return course


def newest(found: Sequence[Course]) -> tuple[Course, ...]:
    """The newest attempt in each environment, in the order in which the environments were first entered."""
    return tuple({course.environment.name: course for course in found}.values())
