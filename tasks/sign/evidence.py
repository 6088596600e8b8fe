"""Evidence beside an artifact: written, verified and read with the keys of this machine. Knows nothing of Prefect."""

import json

from tasks import platforms
from tasks.adapters.cosign import Cosign
from tasks.adapters.cosign_key import KeyRole
from tasks.model import Artifact, Checked, Proof, ScanNotDone, ScanReport
from tasks.sign.rules import BILL_OF_MATERIALS, SCAN, newest_scan, scan_predicate


def sign(artifact: Artifact) -> None:
    """As builder, in both formats of cosign. VerificationFailedError if what is there afterwards does not hold."""
    _cosign(artifact).sign(artifact)


def attest_scan(
    artifact: Artifact, report: ScanReport | ScanNotDone, bill_of_materials: bytes
) -> None:
    """As scanner: what the scan found, and once what is inside (no two bills are equal, although they say the same)."""
    cosign = _cosign(artifact)
    cosign.attest(artifact, KeyRole.SCANNER, SCAN, scan_predicate(report))
    if bill_of_materials and check_bill_of_materials(artifact).proof is not Proof.VALID:
        bill = json.loads(bill_of_materials)
        cosign.attest(artifact, KeyRole.SCANNER, BILL_OF_MATERIALS, bill)


def check_signatures(artifact: Artifact) -> tuple[Checked, ...]:
    """What the artifact's signatures are worth. TransientError if its store does not answer."""
    return _cosign(artifact).check_signatures(artifact)


def check_bill_of_materials(artifact: Artifact) -> Checked:
    return _cosign(artifact).check_attestation(artifact, KeyRole.SCANNER, BILL_OF_MATERIALS)


def check_scan(artifact: Artifact) -> Checked:
    return _cosign(artifact).check_attestation(artifact, KeyRole.SCANNER, SCAN)


def known_scan(artifact: Artifact) -> ScanReport | ScanNotDone | None:
    """The newest scan of it that our scanner vouches for."""
    looked = _cosign(artifact).attestations(artifact, KeyRole.SCANNER, SCAN)
    vouched = [one.predicate for one in looked if one.proof is Proof.VALID]
    return newest_scan(vouched, artifact.digest)


def bill_of_materials(artifact: Artifact) -> dict[str, object]:
    """The CycloneDX bill that our scanner vouches for; empty if there is none."""
    looked = _cosign(artifact).attestations(artifact, KeyRole.SCANNER, BILL_OF_MATERIALS)
    return dict(next((one.predicate for one in looked if one.proof is Proof.VALID), {}))


def _cosign(artifact: Artifact) -> Cosign:
    return Cosign(platforms.store(artifact.repository), platforms.keys())
