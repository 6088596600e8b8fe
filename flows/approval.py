"""Approval: the answer is a journal event, so command line, API and form are equal; the rollout reads the journal."""

import getpass
from datetime import UTC, datetime, timedelta

from flows.tenure import Tenure
from flows.waiting import wait_until
from tasks import platforms
from tasks.errors import NotFoundError
from tasks.journal.rules import Approved, EventKind, fold, record
from tasks.journal.waits import Wait, WaitKind
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
    """An approval of this release here; none in time is INCONCLUSIVE. Nothing is live meanwhile."""
    service, until = (
        held.lease.service,
        datetime.now(UTC) + timedelta(seconds=place.approval_seconds),
    )
    reason = f"`bakewell approve {service} {place.name} --reason WHY` lets it in"

    def over() -> Judgement | None:
        for event in held.journal.events(service):
            about = (event.kind, event.environment, event.release)
            if about == (EventKind.APPROVED, place.name, release):
                words = f"approved by {event.body['by']}: {event.body['reason']}"
                return Judgement(Verdict.PROMOTE, words)
        if datetime.now(UTC) < until:
            return None
        words = f"nobody approved it within {place.approval_seconds:.0f} s"
        return Judgement(Verdict.INCONCLUSIVE, words)

    return wait_until(held, release, place, Wait(WaitKind.APPROVAL, reason, until), over)
