"""Waking: a release that waits and has no process goes on when its wait is over, whatever became of its run meanwhile. A chore: it
needs the journal, and Prefect only where something is due."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from flows.barriers import in_the_way
from flows.statebook import state_of_today
from flows.story import Tone, tell
from flows.suspended import dismiss, prefect, read_form, wake_run
from flows.tenure import Tenure, tenure
from tasks import platforms
from tasks.adapters.prefect_api import FlowRun, PrefectApi
from tasks.errors import BakewellError, LeaseHeldError, NotFoundError, TransientError
from tasks.journal.answers import answer_of
from tasks.journal.rules import (
    ReleaseFinished,
    ReleaseState,
    State,
    record,
)
from tasks.journal.waits import WaitEnded, Waiting, WaitKind
from tasks.journal.wakes import Due, due
from tasks.model import Decision
from tasks.ports import Journal

DEPLOYMENT: Final = "promote/promote"
TRIES: Final = 3
STANDING: Final = (WaitKind.LINE, WaitKind.FREEZE, WaitKind.WINDOW)


def wake() -> Iterator[str]:
    """Every release that waits: those whose wait is over go on or end; those whose run is gone get another one."""
    journal = platforms.journal()
    state = state_of_today(journal)
    for told in state.releases.values():
        if told.outcome is not None or told.waiting is None:
            continue
        try:
            yield from _wake(journal, state, told, told.waiting)
        except LeaseHeldError:
            continue  # somebody is at it
        except BakewellError as error:
            where = f"{told.service} {told.id}"
            tell(
                f"could not be woken yet: {error}; the next round tries again",
                Tone.WARN,
                where=where,
            )


def _wake(journal: Journal, state: State, told: ReleaseState, waiting: Waiting) -> Iterator[str]:
    if journal.holder(told.service, "") is not None:
        return  # a process waits itself, or goes on already
    where = f"{told.service} {told.id}"
    decision = _decide(journal, state, told)
    if decision.answer is Due.END:
        yield f"{where}: {_end(journal, told, waiting, decision.reason)}"
        return
    try:
        api = prefect()
        run = _run(api, waiting.wait.flow_run)
    except TransientError:
        if decision.answer is Due.NOTHING:
            return  # nothing is due that it could do
        raise
    if run is None or run.has_ended:
        yield from (f"{where}: {done}" for done in _begin_again(api, journal, state, told, run))
    elif decision.answer is Due.GO_ON and run.state == "PAUSED":
        answer = answer_of(journal.events(told.service), told.id, waiting.environment)
        asked = waiting.wait.kind is WaitKind.APPROVAL and answer is not None
        if wake_run(run.id, answer.said if asked and answer else None):
            yield f"{where}: goes on, {decision.reason}"


def _decide(journal: Journal, state: State, told: ReleaseState) -> Decision[Due]:
    waiting, now = told.waiting, datetime.now(UTC)
    environment = waiting.environment if waiting else ""
    answer = answer_of(journal.events(told.service), told.id, environment)
    return due(told, answer, _stands(told, now), state, now)


def _stands(told: ReleaseState, now: datetime) -> bool:
    """Is what it waits for still in the way? InvalidInputError if its policy cannot be read."""
    place = told.spec.environment_spec(told.waiting.environment) if told.waiting else None
    if told.waiting is None or place is None or told.waiting.wait.kind not in STANDING:
        return False
    kind = told.waiting.wait.kind
    return any(one.wait.kind is kind for one in in_the_way(told.spec, place, now))


def _run(api: PrefectApi, run: str) -> FlowRun | None:
    if not run:
        return None
    try:
        return api.run(run)
    except NotFoundError:  # another server, or it was deleted
        return None


def _begin_again(
    api: PrefectApi, journal: Journal, state: State, told: ReleaseState, run: FlowRun | None
) -> Iterator[str]:
    """Its run is gone. What somebody wrote into its form counts; what somebody cancelled ends."""
    waiting = told.waiting
    assert waiting is not None, "only what waits is woken"
    if run is not None:
        read_form(journal, told.service, told.id, waiting.environment, run.id)
        if run.state == "CANCELLED":
            yield _end(journal, told, waiting, "its run was cancelled in Prefect")
            return
    decision = _decide(journal, state, told)
    if decision.answer is Due.END:
        yield _end(journal, told, waiting, decision.reason)
        return
    yield from _promote(api, journal, told, waiting)


def _promote(
    api: PrefectApi, journal: Journal, told: ReleaseState, waiting: Waiting
) -> Iterator[str]:
    """Another run takes it on: the same one however often this is done; another one only when that has ended, too."""
    parameters = {
        "service": told.service,
        "release": told.id,
        "to": told.to,
        "despite_burn": told.despite_burn,
    }
    since, name = waiting.told_at.isoformat(), f"promote {told.service} {told.id}"
    for number in range(TRIES):
        key = f"promote:{told.service}:{told.id}:{since}:{number}"
        run = api.create_run(DEPLOYMENT, parameters, key=key, tags=("bakewell",), name=name)
        if not run.has_ended:
            if run.state == "SCHEDULED":
                yield f"its run is gone; {run.name} takes it on"
            return
    yield _end(journal, told, waiting, f"{TRIES} runs were to take it on, and ended")


def _end(journal: Journal, told: ReleaseState, waiting: Waiting, reason: str) -> str:
    """In the journal, under the lease, if it waits still. LeaseHeldError."""
    with tenure(journal, told.service, "", f"end of {told.id}") as held:
        if not _waits_still(held, told, waiting):
            return "went on meanwhile"
        ended = WaitEnded(waiting.wait.kind, reason)
        record(journal, told.service, waiting.environment, told.id, ended)
        outcome = f"stopped: {told.service} {told.id} in {waiting.environment}: {reason}"
        held.record(told.id, ReleaseFinished(outcome))
    dismiss(waiting.wait.flow_run, outcome)
    return outcome


def _waits_still(held: Tenure, told: ReleaseState, waiting: Waiting) -> bool:
    now = held.state().releases[told.service, told.id]
    return now.outcome is None and now.waiting == waiting
