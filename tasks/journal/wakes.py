"""Whom to wake: what is due for a release that waits, while no process of it runs. Pure."""

from datetime import datetime
from enum import StrEnum

from tasks.journal.answers import Answer, judged
from tasks.journal.passage import soak
from tasks.journal.rules import ReleaseState, State
from tasks.journal.waits import Wait, Waiting, WaitKind
from tasks.model import Decision, Judgement, Verdict


class Due(StrEnum):
    """What is to be done for a release that waits."""

    NOTHING = "nothing"
    GO_ON = "go on"
    END = "end"


def due(
    told: ReleaseState,
    answer: Answer | None,
    stands: bool,
    state: State,
    now: datetime,
) -> Decision[Due]:
    """`stands`: is the line, freeze or window that it waits for still in the way? People may lift each of them at any time. The
    release asks its gates itself again when it is woken, so to wake it once too often does no harm."""
    waiting = told.waiting
    if waiting is None or told.outcome is not None:
        return Decision(Due.NOTHING, "it does not wait")
    match waiting.wait.kind:
        case WaitKind.APPROVAL:
            place = told.spec.environment_spec(waiting.environment)
            seconds = place.approval_seconds if place else 0.0
            return _of(judged(answer, waiting.wait.until or now, seconds, now))
        case WaitKind.SOAK:
            found = soak(state, told, waiting.environment, now)
            return _of(None if isinstance(found, Wait) else found)
        case _:
            return _by_itself(waiting, stands, now)


def _of(judgement: Judgement | None) -> Decision[Due]:
    if judgement is None:
        return Decision(Due.NOTHING, "it waits still")
    good = judgement.verdict is Verdict.PROMOTE
    return Decision(Due.GO_ON if good else Due.END, judgement.reason)


def _by_itself(waiting: Waiting, stands: bool, now: datetime) -> Decision[Due]:
    """Past its time it is looked at anew, also if it stands: somebody made it longer, and the journal shall say until when."""
    until = waiting.wait.until
    if not stands or (until is not None and until <= now):
        return Decision(Due.GO_ON, f"the {waiting.wait.kind.value} is over")
    return Decision(Due.NOTHING, "it waits still")
