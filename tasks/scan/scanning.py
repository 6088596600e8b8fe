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
    if isinstance(found, ScanNotDone):
        return remembering(found, stored.report)
    kept = (one for one in findings_of(stored.report) if one.kind is not FindingKind.VULNERABILITY)
    if isinstance(stored.report, ScanNotDone):
        return replace(found, findings=tuple(dict.fromkeys((*found.findings, *kept))))
    new = (one for one in found.findings if one.kind is FindingKind.VULNERABILITY)
    return replace(found, findings=(*new, *kept))


def remembering(report: Report, known: Report | None) -> Report:
    """A scan that was not done forgets nothing: what an earlier one of the same digest has found stays found."""
    if known is None or not isinstance(report, ScanNotDone):
        return report
    earlier = (one for one in findings_of(known) if one not in report.secrets)
    return replace(report, known=tuple(earlier))


def findings_of(report: Report) -> tuple[Finding, ...]:
    """All that is known to be wrong, whoever found it."""
    if isinstance(report, ScanNotDone):
        return (*report.secrets, *report.known)
    return report.findings
