"""Entry: may a release go into an environment now? A stopped line, a freeze, a closed window: it waits, and does not fail.

Each is asked anew after each wait: what was open may have closed meanwhile.
"""

from datetime import UTC, datetime
from typing import Final

from flows.barriers import in_the_way
from flows.bypassing import goes_past, has_gone_past
from flows.line import line_stop, stop_words
from flows.stopped import StoppedError
from flows.tenure import Tenure
from flows.waiting import standing, wait_until
from tasks.journal.rules import ReleaseState
from tasks.journal.waits import Wait, WaitKind
from tasks.lanes import Barrier
from tasks.model import Judgement, Verdict
from tasks.service import EnvironmentSpec

OVER: Final = {
    WaitKind.LINE: "the line goes again",
    WaitKind.FREEZE: "the freeze is over",
    WaitKind.WINDOW: "the window is open",
}


def clock() -> datetime:
    return datetime.now(UTC)


def may_enter(held: Tenure, told: ReleaseState, place: EnvironmentSpec) -> Judgement:
    """PROMOTE as soon as nothing holds the release up any more. Nothing is live before.

    `held` is the tenure of all releases of the service.
    """
    while True:
        wait, before = _in_the_way(held, told, place), _before(held, told, place)
        if before and (wait is None or wait.kind is not before.kind):
            _waited(held, told, place, before)  # the journal says that it is over
        if wait is None:
            return Judgement(Verdict.PROMOTE, "no stopped line, freeze or closed window")
        judgement = _waited(held, told, place, wait)
        if judgement.verdict is not Verdict.PROMOTE:
            return judgement


def _before(held: Tenure, told: ReleaseState, place: EnvironmentSpec) -> Wait | None:
    """What it waits for by the journal: a run that was suspended finds its wait over, and has to say so."""
    found = (standing(held, told.id, place, kind) for kind in OVER)
    return next((one.wait for one in found if one), None)


def _waited(held: Tenure, told: ReleaseState, place: EnvironmentSpec, wait: Wait) -> Judgement:
    def over() -> Judgement | None:
        now = _in_the_way(held, told, place)
        if now is not None and now.kind is wait.kind:
            return None
        return Judgement(Verdict.PROMOTE, OVER[wait.kind])

    return wait_until(held, told.id, place, wait, over)


def _in_the_way(held: Tenure, told: ReleaseState, place: EnvironmentSpec) -> Wait | None:
    """The first barrier that says no and that the release does not go past."""
    for one in in_the_way(told.spec, place, clock()):
        if not goes_past(held, told, place.name, one.barrier, one.found, since=one.since):
            return one.wait
    return None


def stop_if_line_stopped(held: Tenure, told: ReleaseState, environment: str, where: str) -> None:
    """StoppedError if the line was stopped while a rollout is in flight, unless that went past this very stop."""
    stop = line_stop()
    if stop and not has_gone_past(held, told.id, environment, Barrier.LINE, stop.sequence):
        raise LineStoppedError(where, Judgement(Verdict.INCONCLUSIVE, stop_words(stop)))


class LineStoppedError(StoppedError):
    """A rollout in flight was withdrawn because the line was stopped. That says nothing about its artifact."""
