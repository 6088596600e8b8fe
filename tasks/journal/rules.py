"""What follows from the journal: the state of the world as it should be, and whom to go back to. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, TypeVar

from tasks.chain import hash_of
from tasks.errors import CorruptError
from tasks.evidence import Quarantine
from tasks.inspection import Drift
from tasks.journal.events import (
    EVERY_SERVICE,
    Approved,
    BakedBody,
    Body,
    Bypassed,
    Deployed,
    DriftFound,
    DriftLeft,
    EventKind,
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
    kind_of,
    record,
    written,
)
from tasks.journal.proof import ChainBreak, verify_chain
from tasks.journal.quarantines import quarantines_after
from tasks.journal.waits import ReleaseWaits, WaitEnded, Waiting, waiting_after
from tasks.lanes import NORMAL_LANE, Lane
from tasks.model import Artifact, Environment, FleetSpec, Group, Role, Source, Step
from tasks.ports import Event
from tasks.references import BaseUsed
from tasks.service import ServiceSpec

__all__ = [  # the words of events.py are said here, too: flows need one address for the journal
    "EVERY_SERVICE",
    "Approved",
    "BakedBody",
    "Body",
    "Bypassed",
    "ChainBreak",
    "Continuation",
    "Deployed",
    "DriftFound",
    "DriftLeft",
    "EnvironmentState",
    "EventKind",
    "Healed",
    "Promoted",
    "QuarantineLifted",
    "Quarantined",
    "ReleaseFinished",
    "ReleaseStarted",
    "ReleaseState",
    "RolledBack",
    "RolloutStarted",
    "RolloutState",
    "Sampled",
    "Scaled",
    "State",
    "StepStarted",
    "VerdictGiven",
    "WarmEnded",
    "WentDown",
    "Withdrawn",
    "body_of",
    "continue_or_start",
    "desired",
    "fold",
    "hash_of",
    "kind_of",
    "next_release_id",
    "record",
    "release_number",
    "roll_back_target",
    "verify_chain",
    "written",
]

# ---- the state -----------------------------------------------------------------------------------

Key = tuple[str, str]


@dataclass(frozen=True)
class RolloutState:
    """A rollout that was started and has not ended. `step` is None before its first; `token` is its lease's."""

    release: str
    artifact: Artifact
    started_at: datetime
    step: Step | None
    step_index: int
    token: int
    flow_run: str


@dataclass(frozen=True)
class EnvironmentState:
    """`vetted`: promoted here and not rolled back since, oldest first. `last_outcome` is a sentence. `drift`: last found."""

    environment: Environment
    stable: Deployed | None = None
    warm: Deployed | None = None
    warm_until: datetime | None = None
    rollout: RolloutState | None = None
    vetted: tuple[Deployed, ...] = ()
    down: bool = False
    last_outcome: str = ""
    drift: tuple[Drift, ...] = ()


@dataclass(frozen=True)
class ReleaseState:
    """`outcome` is None until the release has finished. `started_at` is its first start, if it was taken up again. `waiting`:
    what it waits for, if it does. The rest: see `ReleaseStarted`."""

    id: str
    service: str
    artifact: Artifact
    source: Source
    spec: ServiceSpec
    started_at: datetime
    outcome: str | None
    reused_bake: bool
    waiting: Waiting | None = None
    flow_run: str = ""
    to: str = ""
    despite_burn: str = ""
    lane: Lane = NORMAL_LANE
    folder: str = ""
    bases: tuple[BaseUsed, ...] = ()


@dataclass(frozen=True)
class State:
    """Environments by (service, name), releases by (service, id), each in the order of their first event.

    `quarantines` are those that were not lifted, newest last: also those that are over (a fold has no clock). They are of
    every service, so one service's lines alone know of none.
    """

    environments: Mapping[Key, EnvironmentState] = field(default_factory=dict)
    releases: Mapping[Key, ReleaseState] = field(default_factory=dict)
    quarantines: tuple[Quarantine, ...] = ()


# Most lines are samples. What does not change the state is not even parsed.
TOLD_ONLY: Final = frozenset(
    {
        EventKind.BAKED,
        EventKind.SAMPLED,
        EventKind.VERDICT_GIVEN,
        EventKind.APPROVED,
        EventKind.BYPASSED,
        EventKind.REJECTED,
        EventKind.LINE_STOPPED,
        EventKind.LINE_RESUMED,
        EventKind.REPAID,
        EventKind.NOTIFIED,
        EventKind.PUSH_ACCEPTED,
        EventKind.PUSH_TAKEN,
        EventKind.PUSH_DROPPED,
        EventKind.PUSH_ENDED,
        EventKind.REBUILD_PLANNED,
        EventKind.REBUILD_DONE,
        EventKind.REBUILD_FINISHED,
        EventKind.BASES_SEEN,
    }
)


def fold(events: Iterable[Event], begin: State | None = None) -> State:
    """What is true after these events: `fold(a + b) == fold(b, fold(a))`. `begin` is not changed."""
    begin = begin or State()
    environments, releases = dict(begin.environments), dict(begin.releases)
    quarantines = begin.quarantines
    for event in events:
        if event.kind in TOLD_ONLY:
            continue
        body = body_of(event)
        if isinstance(body, ReleaseStarted | ReleaseFinished | ReleaseWaits | WaitEnded):
            key = (event.service, event.release)
            releases[key] = _release_after(releases.get(key), event, body)
        elif isinstance(body, Quarantined | QuarantineLifted):
            quarantines = quarantines_after(quarantines, body)
        else:
            key = (event.service, event.environment)
            environments[key] = _environment_after(environments.get(key), event, body)
    return State(environments, releases, quarantines)


def _release_after(
    state: ReleaseState | None,
    event: Event,
    body: ReleaseStarted | ReleaseFinished | ReleaseWaits | WaitEnded,
) -> ReleaseState:
    if isinstance(body, ReleaseWaits | WaitEnded):
        known = _started(state, event)
        return replace(
            known, waiting=waiting_after(known.waiting, event.environment, event.at, body)
        )
    if isinstance(body, ReleaseFinished):
        return replace(_started(state, event), outcome=body.outcome, waiting=None)
    return ReleaseState(
        event.release,
        event.service,
        body.artifact,
        body.source,
        body.spec,
        state.started_at if state and state.outcome is None else event.at,
        None,
        body.reused_bake,
        state.waiting if state and state.outcome is None else None,
        body.flow_run,
        body.to,
        body.despite_burn,
        body.lane,
        body.folder,
        body.bases,
    )


Known = TypeVar("Known", EnvironmentState, ReleaseState)


def _started(state: Known | None, event: Event) -> Known:
    if state is None:
        where = f"{event.service} {event.environment or event.release}"
        raise CorruptError(
            f"line {event.sequence} of the journal says {event.kind!r} of {where}, which no line before has"
            " started; see `bakewell verify-journal`"
        )
    return state


def _environment_after(
    known: EnvironmentState | None, event: Event, body: Body
) -> EnvironmentState:
    if isinstance(body, RolloutStarted):
        return _rolling(known or EnvironmentState(body.environment), event, body)
    state = _started(known, event)
    match body:
        case StepStarted():
            return _stepped(state, event, body)
        case Promoted():
            return _promoted(state, event, body)
        case Withdrawn():
            return _withdrawn(state, event, body)
        case RolledBack():
            return _rolled_back(state, body)
        case Scaled() if state.stable is not None:
            return replace(state, stable=replace(state.stable, replicas=body.replicas))
        case WarmEnded():
            return replace(state, warm=None, warm_until=None)
        case WentDown():
            return EnvironmentState(
                state.environment, vetted=state.vetted, down=True, last_outcome="went down"
            )
        case Healed():
            return replace(state, last_outcome=f"healed: {body.reason}")
        case DriftFound(found):
            return replace(state, drift=found)
        case _:
            return state


def _rolling(state: EnvironmentState, event: Event, body: RolloutStarted) -> EnvironmentState:
    rollout = RolloutState(
        event.release, body.artifact, event.at, None, 0, event.token, body.flow_run
    )
    return replace(state, environment=body.environment, rollout=rollout, down=False)


def _stepped(state: EnvironmentState, event: Event, body: StepStarted) -> EnvironmentState:
    if state.rollout is None or state.rollout.release != event.release:
        return state
    return replace(state, rollout=replace(state.rollout, step=body.step, step_index=body.index))


def _promoted(state: EnvironmentState, event: Event, body: Promoted) -> EnvironmentState:
    """Said twice is said once: a writer that lost the answer of its database may repeat itself."""
    if state.rollout is None or state.rollout.release != event.release:
        return state
    before = state.stable
    is_warm = before and before.release != body.deployed.release and body.warm_until
    return replace(
        state,
        stable=body.deployed,
        warm=before if is_warm else None,
        warm_until=body.warm_until if is_warm else None,
        rollout=None,
        vetted=(*state.vetted, body.deployed),
        last_outcome=f"{body.deployed.release} promoted",
    )


def _withdrawn(state: EnvironmentState, event: Event, body: Withdrawn) -> EnvironmentState:
    if state.rollout is None or state.rollout.release != event.release:
        return state
    verdict = f"{body.verdict.value}: " if body.verdict else ""
    return replace(
        state, rollout=None, last_outcome=f"{event.release} withdrawn: {verdict}{body.reason}"
    )


def _rolled_back(state: EnvironmentState, body: RolledBack) -> EnvironmentState:
    """Whom somebody has rolled back is vetted no longer: the next roll-back must not return to it."""
    gone = state.stable.artifact.digest if state.stable and not body.quarantine else ""
    was = f"{state.stable.release} " if state.stable else ""
    return EnvironmentState(
        state.environment,
        stable=body.to,
        vetted=tuple(one for one in state.vetted if one.artifact.digest != gone),
        last_outcome=f"{was}rolled back to {body.to.release}: {body.reason}",
        drift=state.drift,
    )


# ---- what follows from it ------------------------------------------------------------------------


def desired(state: EnvironmentState, now: datetime) -> FleetSpec:
    """What should be there: the rollout's step, else the stable group, with the warm one beside it while it is warm."""
    if state.rollout is not None and state.rollout.step is not None:
        return state.rollout.step.spec
    if state.stable is None:
        return FleetSpec()
    serving = _group(state.stable, 100, Role.STABLE)
    if state.warm is None or state.warm_until is None or now >= state.warm_until:
        return FleetSpec((serving,))
    return FleetSpec((serving, _group(state.warm, 0, Role.WARM)))


def _group(deployed: Deployed, weight: int, role: Role) -> Group:
    return Group(deployed.release, deployed.artifact, deployed.replicas, weight, role)


@dataclass(frozen=True)
class Continuation:
    """The release to work under: a new one, or one that somebody left unfinished."""

    release: str
    resumed: bool


def continue_or_start(state: State, service: str, artifact: Artifact) -> Continuation:
    """The newest unfinished release of this very digest is taken up again; otherwise a new one begins."""
    unfinished = [
        release.id
        for release in _releases(state, service)
        if release.outcome is None and release.artifact.digest == artifact.digest
    ]
    if unfinished:
        return Continuation(max(unfinished, key=release_number), resumed=True)
    return Continuation(next_release_id(state, service), resumed=False)


def next_release_id(state: State, service: str) -> str:
    """`r1`, `r2`, …: one more than the highest ever used for the service."""
    numbers = [release_number(release.id) for release in _releases(state, service)]
    return f"r{max(numbers, default=0) + 1}"


def _releases(state: State, service: str) -> list[ReleaseState]:
    return [release for release in state.releases.values() if release.service == service]


def release_number(release: str) -> int:
    """7 of `r7`; 0 of what is no release's name."""
    found = re.fullmatch(r"r(\d+)", release)
    return int(found[1]) if found else 0


def roll_back_target(state: EnvironmentState) -> tuple[Deployed, ...]:
    """Invariant 9: whom to go back to, best first: each other vetted artifact once, newest promotion first.

    Whether one is admitted today is for the caller to ask, one by one.
    """
    serving = state.stable.artifact.digest if state.stable else ""
    newest = {one.artifact.digest: one for one in state.vetted}
    ordered = dict.fromkeys(one.artifact.digest for one in reversed(state.vetted))
    return tuple(newest[digest] for digest in ordered if digest != serving)
