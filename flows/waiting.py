"""Waiting: one way for all that a release waits for, before it enters an environment. Nothing is live there meanwhile.

What is waited for stands in the journal first, so anybody can see it, end it, and go on from it in another process.
"""

import time
from collections.abc import Callable

from flows.story import Tone, tell
from flows.tenure import LEASE_SECONDS, Tenure
from tasks.journal.rules import record
from tasks.journal.waits import ReleaseWaits, Wait, WaitEnded, Waiting
from tasks.model import Judgement, Verdict
from tasks.service import EnvironmentSpec

POLL_SECONDS = 1.0


def wait_until(
    held: Tenure,
    release: str,
    place: EnvironmentSpec,
    wait: Wait,
    over: Callable[[], Judgement | None],
) -> Judgement:
    """What `over` says as soon as it says anything; it is asked once before anything is waited for, and has to end the wait
    itself (`wait.until`) by saying INCONCLUSIVE. `held` is the tenure of all releases of the service."""
    judgement = over()
    if judgement is None:
        _begin(held, release, place, wait)
    while judgement is None:
        time.sleep(POLL_SECONDS)
        judgement = over()
    _end(held, release, place, wait, judgement)
    return judgement


def standing(held: Tenure, release: str, place: EnvironmentSpec, wait: Wait) -> Waiting | None:
    """This very wait, if it was begun before: by this process, or by one that is gone."""
    told = held.state().releases.get((held.lease.service, release))
    found = told.waiting if told else None
    same = found and (found.environment, found.wait.kind) == (place.name, wait.kind)
    return found if same else None


def _begin(held: Tenure, release: str, place: EnvironmentSpec, wait: Wait) -> None:
    _write(held, release, place, ReleaseWaits(wait))
    where = f"{held.lease.service} {release} in {place.name}"
    tell(f"waits for {wait.kind.value}: {wait.reason}", Tone.WAIT, where=where)


def _end(
    held: Tenure, release: str, place: EnvironmentSpec, wait: Wait, judgement: Judgement
) -> None:
    if standing(held, release, place, wait) is None:
        return
    _write(held, release, place, WaitEnded(wait.kind, judgement.reason))
    tone = Tone.GOOD if judgement.verdict is Verdict.PROMOTE else Tone.BAD
    where = f"{held.lease.service} {release} in {place.name}"
    tell(f"waits no longer for {wait.kind.value}: {judgement.reason}", tone, where=where)


def _write(
    held: Tenure, release: str, place: EnvironmentSpec, body: ReleaseWaits | WaitEnded
) -> None:
    """The line is of the environment, the lease of all releases: whoever has lost it writes nothing (LateWriterError)."""
    held.journal.renew(held.lease, LEASE_SECONDS)
    record(held.journal, held.lease.service, place.name, release, body)
