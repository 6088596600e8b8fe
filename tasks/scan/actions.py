"""The Prefect task of this room: scan, list what is inside, decide."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import platforms
from tasks.errors import TransientError
from tasks.model import Admission, Artifact, Decision, ScanNotDone, ScanReport
from tasks.retries import PATIENTLY
from tasks.scan.rules import judge_scan
from tasks.service import ScanPolicy

SCAN_SECONDS = 600.0


@dataclass(frozen=True)
class Scanned:
    """What was found, what follows from it, and the CycloneDX list of what is inside (empty if there is none)."""

    report: ScanReport | ScanNotDone
    decision: Decision[Admission]
    bill_of_materials: bytes


@task(cache_policy=NO_CACHE, task_run_name="scan {artifact.service} {artifact.short}", **PATIENTLY)
def scan_artifact(artifact: Artifact, policy: ScanPolicy) -> Scanned:
    """A scan that was not done is an outcome, not an exception: the policy decides what follows."""
    return scanned(artifact, policy)


def scanned(artifact: Artifact, policy: ScanPolicy) -> Scanned:
    """The same without Prefect. Report and list are two runs of the scanner, side by side."""
    scanner = platforms.scanner()
    with ThreadPoolExecutor(2) as pool:
        report = pool.submit(scanner.scan, artifact, SCAN_SECONDS)
        bill = pool.submit(scanner.bill_of_materials, artifact, SCAN_SECONDS)
        found = report.result()
        try:
            inside = bill.result()
        except TransientError as error:
            inside = b""
            if not isinstance(found, ScanNotDone):
                found = ScanNotDone(artifact.digest, str(error), datetime.now(UTC), found.packages)
    return Scanned(found, judge_scan(found, policy, datetime.now(UTC)), inside)
