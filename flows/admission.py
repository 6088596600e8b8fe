"""Admission: is this artifact's evidence complete, true and fresh enough to start it now? Asked before every start.

A check reads and verifies all evidence. Its answer counts for the day, as long as policy, trusted keys, the quarantines in
force and every piece of the evidence stay what they were: a thousand starts of one digest cost one check.
"""

from dataclasses import replace
from datetime import UTC, datetime

from flows.facts import facts_of
from flows.quarantine import fingerprint, in_force
from flows.rescan import with_fresh_scan
from tasks import platforms
from tasks.adapters.admissions import Admitted, admission_key
from tasks.admit.rules import good_until, judge_admission
from tasks.errors import NotAdmittedError, RefusedError
from tasks.evidence import Ground, Ruling
from tasks.model import Admission, Artifact
from tasks.policy import PolicyInForce
from tasks.sign import evidence


def admit(artifact: Artifact, policy: PolicyInForce) -> Ruling:
    """By today's policy. TransientError if its store does not answer: that is neither yes nor no."""
    now, kept = datetime.now(UTC), platforms.admissions()
    key = admission_key(
        artifact.reference,
        artifact.service,
        policy.fingerprint,
        evidence.trust(),
        fingerprint(in_force(now)),
        f"{now:%Y-%m-%d}",
    )
    if ruling := _known(artifact, key, now):
        return ruling
    with kept.claim(key):
        return _known(artifact, key, now) or _checked(artifact, policy, key)


def ensure_admitted(artifact: Artifact, policy: PolicyInForce) -> None:
    """The last question before an instance starts. NotAdmittedError with all reasons."""
    ruling = admit(artifact, policy)
    if ruling.answer is Admission.REFUSE:
        raise NotAdmittedError(refusal(artifact, policy, ruling))


def refusal(artifact: Artifact, policy: PolicyInForce, ruling: Ruling) -> str:
    return (
        f"{artifact.service} {artifact.digest} may not start under policy {policy.name}: {ruling.reason}"
        f" (`bakewell policy judge {artifact.reference} {policy.name}` lists every reason)"
    )


def _known(artifact: Artifact, key: str, now: datetime) -> Ruling | None:
    """An admission of today whose evidence still lies there, piece by piece."""
    found = platforms.admissions().known(key, now)
    return found.ruling if found and evidence.present(artifact, found.pieces) else None


def _checked(artifact: Artifact, policy: PolicyInForce, key: str) -> Ruling:
    """What keeps us from a fresh scan (a key that is not valid, a store that refuses) is a reason, beside all others."""
    trouble: tuple[Ground, ...] = ()
    try:
        dossier = with_fresh_scan(artifact, policy.policy)
    except RefusedError as error:
        trouble = (Ground("scan", "", str(error)),)
        dossier = evidence.examine(artifact)
    now, facts = datetime.now(UTC), replace(facts_of(dossier, policy.policy), not_gathered=trouble)
    ruling = judge_admission(facts, policy.policy, now)
    if ruling.answer is Admission.ADMIT:
        until = good_until(facts, policy.policy, now)
        platforms.admissions().keep(key, Admitted(ruling, dossier.pieces, until))
    return ruling
