"""Learn what is known to be wrong with an artifact, and what is inside. What follows from it is not decided here."""

from dataclasses import replace
from typing import Final

from tasks import platforms
from tasks.evidence import FindingKind, Scanned, ScanNotDone, ScanReport
from tasks.model import Artifact

SCAN_SECONDS: Final = 600.0
RESCAN_SECONDS: Final = 120.0


def scan(artifact: Artifact) -> Scanned:
    """One look at the artifact itself."""
    return platforms.scanner().scan(artifact, SCAN_SECONDS)


def rescan(
    artifact: Artifact, cyclonedx: bytes, known: ScanReport | ScanNotDone
) -> ScanReport | ScanNotDone:
    """Its stored bill of materials by today's database. What a bill cannot tell (secrets) is as `known` found it: the
    digest is the same, so the files are."""
    found = platforms.scanner().rescan(artifact, cyclonedx, RESCAN_SECONDS)
    if isinstance(known, ScanNotDone):
        secrets = known.secrets
    else:
        secrets = tuple(one for one in known.findings if one.kind is FindingKind.SECRET)
    if isinstance(found, ScanNotDone):
        return replace(found, secrets=secrets)
    return replace(found, findings=(*found.findings, *secrets))
