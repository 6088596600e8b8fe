"""Artifacts that are admitted without evidence: for tests of what happens afterwards."""

from datetime import UTC, datetime, timedelta

from flows.quarantine import fingerprint, in_force
from tasks import platforms
from tasks.adapters.admissions import Admitted, admission_key
from tasks.evidence import Ruling
from tasks.model import Admission, Artifact
from tasks.sign import evidence


def admit_for_the_day(artifact: Artifact) -> None:
    """As a check of all its evidence would have: it counts for the day, and a test may run at midnight."""
    now, policy = datetime.now(UTC), platforms.policy("default")
    for day in (now, now + timedelta(days=1)):
        key = admission_key(
            artifact.reference,
            artifact.service,
            policy.fingerprint,
            evidence.trust(),
            fingerprint(in_force(now)),
            f"{day:%Y-%m-%d}",
        )
        ruling = Ruling(Admission.ADMIT, "a test says so")
        platforms.admissions().keep(key, Admitted(ruling, (), now + timedelta(hours=2)))
