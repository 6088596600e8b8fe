"""Approval: the answer is a journal event, so command line, API and form are equal; the rollout reads the journal."""

import getpass
import time

from flows.story import Tone, tell
from flows.tenure import Tenure
from tasks import platforms
from tasks.errors import NotFoundError
from tasks.journal.rules import Approved, EventKind, fold, record
from tasks.model import Judgement, Verdict
from tasks.service import EnvironmentSpec


def approve(service: str, environment: str, reason: str, by: str = "") -> str:
    """Approve the newest unfinished release of the service for an environment. Its release id.

    `by` is a claim, journalled as such with the way it came: this machine's user where it is empty.
    """
    journal = platforms.journal()
    waiting = [
        release
        for release in fold(journal.events(service)).releases.values()
        if release.outcome is None
    ]
    if not waiting or waiting[-1].spec.environment_spec(environment) is None:
        raise NotFoundError(
            f"no unfinished release of {service} wants to go to {environment}; see `bakewell history {service}`"
        )
    approved = Approved(by or getpass.getuser(), reason, "command line")
    record(journal, service, environment, waiting[-1].id, approved)
    return waiting[-1].id


def wait_for_approval(held: Tenure, release: str, place: EnvironmentSpec) -> Judgement:
    """Poll the journal for an approval of this release here; none in time is INCONCLUSIVE. Nothing is live meanwhile."""
    service, end = held.lease.service, time.monotonic() + place.approval_seconds
    where = f"{service} {release} in {place.name}"
    tell(f"waits for `bakewell approve {service} {place.name}`", Tone.WAIT, where=where)
    while time.monotonic() < end:
        for event in held.journal.events(service):
            if (event.kind, event.environment, event.release) == (
                EventKind.APPROVED,
                place.name,
                release,
            ):
                return Judgement(
                    Verdict.PROMOTE, f"approved by {event.body['by']}: {event.body['reason']}"
                )
        time.sleep(1)
    return Judgement(
        Verdict.INCONCLUSIVE, f"nobody approved it within {place.approval_seconds:.0f} s"
    )
