"""Scan an artifact and decide. Knows nothing of Prefect."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks import platforms
from tasks.errors import BakewellError
from tasks.evidence import ScanNotDone, ScanReport
from tasks.model import Admission, Artifact, Decision
from tasks.ports import Scanner
from tasks.scan.rules import judge_scan, without_bill
from tasks.service import ScanPolicy

SCAN_SECONDS = 600.0


@dataclass(frozen=True)
class Scanned:
    """What was found, what follows from it, and the CycloneDX list of what is inside (empty if there is none)."""

    report: ScanReport | ScanNotDone
    decision: Decision[Admission]
    bill_of_materials: bytes


def scan(artifact: Artifact, policy: ScanPolicy) -> Scanned:
    """Report and list are two runs of the scanner, side by side. Without the list no scan counts as clean."""
    return scan_with(platforms.scanner(), artifact, policy)


def scan_with(scanner: Scanner, artifact: Artifact, policy: ScanPolicy) -> Scanned:
    """The same with a scanner of one's own."""
    with ThreadPoolExecutor(1) as pool:
        bill = pool.submit(scanner.bill_of_materials, artifact, SCAN_SECONDS)
        found, inside = scanner.scan(artifact, SCAN_SECONDS), b""
        try:
            inside = bill.result()
        except BakewellError as error:
            found = without_bill(found, policy, str(error), datetime.now(UTC))
    return Scanned(found, judge_scan(found, policy, datetime.now(UTC)), inside)
