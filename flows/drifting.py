"""Drifting: what differs in one environment from what the journal desires. Reads journal, platform and evidence; no Prefect.

Whoever holds the lease changes the environment on purpose: nothing is drift then. It is asked before and after the look, so
that a rollout which began meanwhile is not taken for tampering.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from flows.admission import admit
from flows.policies import todays_policy
from flows.quarantine import held_by, in_force
from flows.story import Tone, tell
from flows.tenure import Tenure
from flows.words import drift_words, holder, moment
from tasks import platforms
from tasks.admit.quarantine import Certainty, held
from tasks.drift.remedy import Left, PastHeal, Remedy, remedy
from tasks.drift.rules import Standing, Wanted, drifts, is_served
from tasks.errors import BakewellError, LeaseHeldError
from tasks.evidence import Quarantine
from tasks.inspection import Aspect, Drift, Inspection, NotLooked
from tasks.journal.rules import (
    DriftFound,
    DriftLeft,
    EnvironmentState,
    EventKind,
    Healed,
    State,
    body_of,
    desired,
    fold,
    record,
)
from tasks.model import Admission, Artifact, Environment, FleetStatus, Lease
from tasks.ports import Event


class Outcome(StrEnum):
    """Of one environment."""

    AS_IT_SHOULD_BE = "as it should be"
    DRIFTED = "has drifted"
    BUSY = "is being changed"
    NOT_LOOKED = "could not be looked at"


@dataclass(frozen=True)
class EnvironmentDrift:
    """What came of one environment. `drift` stands now, `healed` does not any more; `left` is not healed for a while.

    `words` say who changes it, why it could not be looked at, or what could not be healed. `deeds_known_from`: what people
    did to instances before that could not be seen this time.
    """

    service: str
    environment: str
    platform: str
    outcome: Outcome
    words: str = ""
    drift: tuple[Drift, ...] = ()
    healed: tuple[Drift, ...] = ()
    left: tuple[Left, ...] = ()
    not_looked: tuple[NotLooked, ...] = ()
    deeds_known_from: datetime | None = None


@dataclass(frozen=True)
class Look:
    """One look at an environment, and what follows from it. `holding`: quarantines that hold what runs there."""

    state: EnvironmentState
    wanted: Wanted
    status: FleetStatus
    inspection: Inspection
    drift: tuple[Drift, ...]
    not_looked: tuple[NotLooked, ...]
    holding: tuple[Quarantine, ...]
    past: tuple[PastHeal, ...]

    @property
    def remedy(self) -> Remedy:
        served = is_served(self.wanted.spec, self.status)
        return remedy(self.drift, self.past, self.inspection.at, served)


def look_from_outside(environment: Environment) -> Look:
    """LeaseHeldError if somebody is changing it, or was while it was looked at."""
    _refuse_held(environment, _holder(environment))
    events = _events(environment)
    found = look(environment, events)
    _refuse_held(environment, _holder(environment))
    if _changes(_events(environment)) != _changes(events):
        raise LeaseHeldError(f"{_name(environment)} was changed while it was looked at")
    return found


def look(environment: Environment, events: Sequence[Event]) -> Look:
    """`events` are the service's. TransientError if its platform does not answer."""
    now, everything = datetime.now(UTC), fold(events)
    state = everything.environments[environment.service, environment.name]
    wanted = _wanted(state, now)
    platform = platforms.connect(environment.platform)
    status, inspection = (
        platform.fleet.read(environment),
        platform.inspector.look(environment),
    )
    evidence = _Evidence(everything, environment, now)
    standings = {artifact.digest: evidence.standing(artifact) for artifact in _running(status)}
    not_looked = (*inspection.not_looked, *evidence.not_looked)
    found = drifts(wanted, status, inspection, standings, state.drift)
    return Look(
        state,
        wanted,
        status,
        inspection,
        found,
        not_looked,
        tuple(evidence.holding),
        tuple(past_heals(environment.name, events)),
    )


def remember(found: Look, lease: Lease | None = None) -> None:
    """Journal what stands, if it is not what the last look found: the same every minute says nothing new."""
    if {one.key for one in found.drift} == {one.key for one in found.state.drift}:
        return
    here, stable = found.state.environment, found.state.stable
    release = stable.release if stable else ""
    body = DriftFound(found.drift)
    record(platforms.journal(), here.service, here.name, release, body, lease)


def reported(found: Look, words: str = "", healed: Iterable[Drift] = ()) -> EnvironmentDrift:
    here = found.state.environment
    return EnvironmentDrift(
        here.service,
        here.name,
        here.platform,
        Outcome.DRIFTED if found.drift else Outcome.AS_IT_SHOULD_BE,
        words,
        found.drift,
        tuple(healed),
        found.remedy.left,
        found.not_looked,
        found.inspection.deeds_known_from,
    )


def unseen(environment: Environment, error: BakewellError) -> EnvironmentDrift:
    """Somebody else is at it, or nothing could be told: neither is drift."""
    outcome = Outcome.BUSY if isinstance(error, LeaseHeldError) else Outcome.NOT_LOOKED
    return EnvironmentDrift(
        environment.service, environment.name, environment.platform, outcome, str(error)
    )


# ---- what should be there ------------------------------------------------------------------------


def _wanted(state: EnvironmentState, now: datetime) -> Wanted:
    """A warm group whose time is over may still be there: `heal` ends it, it is nobody's doing."""
    tolerated = frozenset({state.warm.release} if state.warm else ())
    return Wanted(desired(state, now), tolerated, state.rollout.release if state.rollout else "")


def past_heals(environment: str, events: Sequence[Event]) -> Iterable[PastHeal]:
    """What was healed for drift there; `events` are the service's."""
    for event in events:
        if event.kind == EventKind.HEALED and event.environment == environment:
            body = body_of(event)
            assert isinstance(body, Healed), "this is its kind"
            if body.cured:
                yield PastHeal(event.at, body.cured)


def leave_to_people(held: Tenure, state: EnvironmentState, left: Sequence[Left]) -> None:
    """The loop breaker says so, once."""
    here = state.environment
    for one in _newly_left(here, left):
        release = state.stable.release if state.stable else ""
        held.record(release, DriftLeft(one.drift, one.times, one.until))
        words = f"healed {one.times} times and back again; left alone until {moment(one.until)} UTC"
        tell(f"{drift_words(one.drift)}: {words}", Tone.BAD, where=f"{here.service} {here.name}")


def _newly_left(environment: Environment, left: Sequence[Left]) -> list[Left]:
    """Those that the journal does not tell of yet."""
    told = set()
    for event in _events(environment):
        if event.kind == EventKind.DRIFT_LEFT and event.environment == environment.name:
            body = body_of(event)
            assert isinstance(body, DriftLeft), "this is its kind"
            told.add((body.drift.cause, body.until))
    fresh = {(one.drift.cause, one.until): one for one in left}
    return [one for key, one in fresh.items() if key not in told]


# ---- who is at it --------------------------------------------------------------------------------


def _events(environment: Environment) -> Sequence[Event]:
    return platforms.journal().events(environment.service)


def _changes(events: Sequence[Event]) -> int:
    """How often something was decided; what looks for drift write down changes nothing."""
    told = (EventKind.DRIFT_FOUND, EventKind.DRIFT_LEFT)
    return sum(event.kind not in told for event in events)


def _holder(environment: Environment) -> Lease | None:
    return platforms.journal().holder(environment.service, environment.name)


def _refuse_held(environment: Environment, lease: Lease | None) -> None:
    if lease is not None:
        raise LeaseHeldError(f"{_name(environment)} is being changed by {holder(lease)}")


def _name(environment: Environment) -> str:
    return f"{environment.service} in {environment.name}"


# ---- what may run --------------------------------------------------------------------------------


def _running(status: FleetStatus) -> dict[Artifact, None]:
    return {group.artifact: None for group in status.groups if group.instances}


class _Evidence:
    """What is held against artifacts today. What could not be told is in `not_looked`."""

    def __init__(self, state: State, environment: Environment, now: datetime) -> None:
        self._state = state
        self._environment = environment
        self._quarantines = in_force(now)
        self.holding: list[Quarantine] = []
        self.not_looked: list[NotLooked] = []

    def standing(self, artifact: Artifact) -> Standing:
        try:
            return self._judged(artifact)
        except BakewellError as error:
            self._unknown(artifact, str(error))
            return Standing()

    def _judged(self, artifact: Artifact) -> Standing:
        hits = held_by(artifact, self._quarantines)
        for hit in hits:
            if hit.certainty is Certainty.HELD:
                self.holding.append(hit.quarantine)
                return Standing(quarantined=held(hit))
        if hits:
            self._unknown(artifact, held(hits[0]))
            return Standing()
        here = self._environment
        ruling = admit(artifact, todays_policy(self._state, here.service, here.name))
        refused = ruling.answer is Admission.REFUSE
        return Standing(refused=ruling.reason if refused else "")

    def _unknown(self, artifact: Artifact, why: str) -> None:
        reason = f"nobody could tell whether {artifact.short} may run: {why}"
        self.not_looked.append(NotLooked(Aspect.EVIDENCE, reason))
