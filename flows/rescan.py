"""Rescan: an artifact whose scan has grown too old is looked at again, as cheaply as the truth allows."""

from dataclasses import replace
from datetime import UTC, datetime

from flows.story import Tone, tell
from tasks.admit.rules import NOT_SCANNED_COUNTS
from tasks.admit.scans import is_fresh
from tasks.evidence import Dossier, Kind, ScanNotDone, ScanReport, Statement
from tasks.model import Artifact
from tasks.oci import canonical
from tasks.policy import Policy
from tasks.scan.scanning import remembering, rescan, scan
from tasks.sign import evidence
from tasks.sign.rules import newest_scan, scan_predicate, scan_statements


def with_fresh_scan(artifact: Artifact, policy: Policy) -> Dossier:
    """The artifact's evidence, after a new scan if the newest is too old for the policy.

    If it was scanned before, and only the database can know more today, its stored bill of materials is looked at, not the
    artifact. VerificationFailedError if the new scan cannot be attested.
    """
    dossier = evidence.examine(artifact)
    now, known = datetime.now(UTC), newest_scan(dossier.valid(Kind.SCAN), artifact.digest)
    if known is not None and _counts(known, policy, now):
        return dossier
    evidence.attest(artifact, _scanned_again(dossier, known))
    return evidence.examine(artifact)


def _counts(known: ScanReport | ScanNotDone, policy: Policy, now: datetime) -> bool:
    """Within one release nobody asks again for a database that could not be had."""
    if isinstance(known, ScanNotDone):
        return now - known.at < NOT_SCANNED_COUNTS
    return is_fresh(known, policy, now)


def _scanned_again(
    dossier: Dossier, known: ScanReport | ScanNotDone | None
) -> tuple[Statement, ...]:
    artifact, bills = dossier.artifact, dossier.valid(Kind.CYCLONEDX)
    if bills and isinstance(known, ScanReport):
        tell("its bill of materials is scanned again", Tone.WAIT, where=artifact.service)
        report = rescan(artifact, canonical(bills[0]), known)
        return (Statement(Kind.SCAN, scan_predicate(report)),)
    tell("no fresh scan is known, so it is scanned", Tone.WAIT, where=artifact.service)
    scanned = scan(artifact)
    report = remembering(scanned.report, known)
    return scan_statements(replace(scanned, report=report), dossier)
