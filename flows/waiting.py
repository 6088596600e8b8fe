"""Waiting: one way for all that a release waits for, before it enters an environment. Nothing is live there meanwhile.

What is waited for stands in the journal first, so anybody can see it, end it, and go on from it in another process. A run of
a deployment is suspended: nothing of it runs until `flows/waking.py` or somebody's answer wakes it, and then it begins from
the top. Elsewhere (a person's terminal, a subflow) the process waits, and keeps the lease.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from flows.evidence import publish_report
from flows.story import Tone, tell
from flows.suspending import suspend, suspendable_run
from flows.tenure import LEASE_SECONDS, Tenure
from tasks.journal.rules import record
from tasks.journal.waits import ReleaseWaits, Wait, WaitEnded, Waiting, WaitKind
from tasks.model import Judgement, Verdict
from tasks.service import EnvironmentSpec

POLL_SECONDS = 1.0


def wait_until(
    held: Tenure,
    release: str,
    place: EnvironmentSpec,
    wait: Wait,
    over: Callable[[], Judgement | None],
    form: Callable[[], str] = lambda: "",
) -> Judgement:
    """What `over` says as soon as it says anything; it is asked once before anything is waited for, and has to end the wait
    itself (`wait.until`) by saying INCONCLUSIVE. `held` is the tenure of all releases of the service. `form`: a text in
    Markdown that people shall answer in the Prefect UI (flows/asking.py)."""
    judgement = over()
    if judgement is None:
        _begin(held, release, place, replace(wait, flow_run=suspendable_run()))
        _suspend(held, release, place, wait, form)
    while judgement is None:
        time.sleep(POLL_SECONDS)
        judgement = over()
    _end(held, release, place, wait, judgement)
    return judgement


def standing(held: Tenure, release: str, place: EnvironmentSpec, kind: WaitKind) -> Waiting | None:
    """This wait, if it was begun before: by this process, or by one that is gone."""
    told = held.state().releases.get((held.lease.service, release))
    found = told.waiting if told else None
    same = found and (found.environment, found.wait.kind) == (place.name, kind)
    return found if same else None


def _suspend(
    held: Tenure, release: str, place: EnvironmentSpec, wait: Wait, form: Callable[[], str]
) -> None:
    if suspendable_run():
        publish_report(held.journal, held.lease.service, release)  # whoever decides looks there
        left = (wait.until - datetime.now(UTC)).total_seconds() if wait.until else None
        suspend(release, place.name, left, form())


def _begin(held: Tenure, release: str, place: EnvironmentSpec, wait: Wait) -> None:
    _write(held, release, place, ReleaseWaits(wait))
    where = f"{held.lease.service} {release} in {place.name}"
    tell(f"waits for {wait.kind.value}: {wait.reason}", Tone.WAIT, where=where)


def _end(
    held: Tenure, release: str, place: EnvironmentSpec, wait: Wait, judgement: Judgement
) -> None:
    if standing(held, release, place, wait.kind) is None:
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
