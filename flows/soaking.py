"""Soaking: a release shows in use that it is good, where it is, before it goes on. Its users there are who finds out."""

from datetime import UTC, datetime

from flows.bypassing import goes_past
from flows.tenure import Tenure
from flows.waiting import standing, wait_until
from tasks.journal.passage import soak
from tasks.journal.rules import ReleaseState
from tasks.journal.waits import Wait, WaitKind
from tasks.lanes import Barrier
from tasks.model import Judgement, Verdict
from tasks.service import EnvironmentSpec


def soaked(held: Tenure, told: ReleaseState, place: EnvironmentSpec) -> Judgement:
    """Has it been in use for long enough in every environment of the waves before `place`? INCONCLUSIVE if it was rolled back
    there meanwhile."""

    def now() -> Wait | Judgement:
        return soak(held.state(), told, place.name, datetime.now(UTC))

    def over() -> Judgement | None:
        found = now()
        return found if isinstance(found, Judgement) else None

    found, since = now(), standing(held, told.id, place, WaitKind.SOAK)
    if isinstance(found, Wait) and goes_past(held, told, place.name, Barrier.SOAK, found.reason):
        return Judgement(Verdict.PROMOTE, "it goes past the soak")
    if isinstance(found, Wait):
        return wait_until(held, told.id, place, found, over)
    return wait_until(held, told.id, place, since.wait, over) if since else found
