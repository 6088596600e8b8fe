"""Learn what is known to be wrong with an artifact, and what is inside. What follows from it is not decided here."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from tasks import platforms
from tasks.evidence import Finding, FindingKind, Scanned, ScanNotDone, ScanReport
from tasks.model import Artifact
from tasks.ports import Scanner

SCAN_SECONDS: Final = 600.0
RESCAN_SECONDS: Final = 120.0
RESCANS_AT_ONCE: Final = 2
Report = ScanReport | ScanNotDone
Say = Callable[[str], None]


@dataclass(frozen=True)
class Known:
    """What is stored of an artifact: its CycloneDX bill of materials, and its last scan."""

    artifact: Artifact
    cyclonedx: bytes
    report: Report


def scan(artifact: Artifact, say: Say = lambda _: None) -> Scanned:
    """One look at the artifact itself. `say` hears of it when it has to wait for others' scans."""
    return platforms.scanner(say).scan(artifact, SCAN_SECONDS)


def rescan(artifact: Artifact, cyclonedx: bytes, known: Report) -> Report:
    """Its stored bill of materials by today's database: only what is known of vulnerabilities changes with it.

    Secrets and licences are as `known` found them: the digest is the same, so the files are. A bill tells licences, too,
    but not all in the same words: of those without an SPDX name it keeps what fits its form.
    """
    return rescan_with(platforms.scanner(), Known(artifact, cyclonedx, known))


def rescan_many(
    stored: Sequence[Known], say: Say = lambda _: None, scanner: Scanner | None = None
) -> tuple[Report, ...]:
    """Two at once, answers in the order asked. One that could not be done does not keep the others from being done."""
    by, reports = scanner or platforms.scanner(), []
    with ThreadPoolExecutor(RESCANS_AT_ONCE) as pool:
        for report in pool.map(lambda one: rescan_with(by, one), stored):
            reports.append(report)
            say(f"looked again at {len(reports)} of {len(stored)} bills of materials")
    return tuple(reports)


def rescan_with(scanner: Scanner, stored: Known) -> Report:
    """The same with a scanner of one's own."""
    found = scanner.rescan(stored.artifact, stored.cyclonedx, RESCAN_SECONDS)
    if isinstance(known := stored.report, ScanNotDone):
        return _with_secrets(found, known.secrets)
    if isinstance(found, ScanNotDone):
        return _with_secrets(found, tuple(filter(_is_secret, known.findings)))
    new = (one for one in found.findings if one.kind is FindingKind.VULNERABILITY)
    same = (one for one in known.findings if one.kind is not FindingKind.VULNERABILITY)
    return replace(found, findings=(*new, *same))


def _with_secrets(report: Report, secrets: tuple[Finding, ...]) -> Report:
    if isinstance(report, ScanNotDone):
        return replace(report, secrets=secrets)
    return replace(report, findings=(*report.findings, *secrets))


def _is_secret(finding: Finding) -> bool:
    return finding.kind is FindingKind.SECRET
