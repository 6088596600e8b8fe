"""Scan an artifact, or the list of what is in it. What follows from it is for policies to say. Knows nothing of Prefect."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tasks import platforms
from tasks.evidence import Scanned, ScanNotDone, ScanReport
from tasks.model import Artifact
from tasks.ports import Scanner

SCAN_SECONDS: Final = 600.0
RESCAN_SECONDS: Final = 120.0
RESCANS_AT_ONCE: Final = 2
Say = Callable[[str], None]


def scan(artifact: Artifact, say: Say = lambda _: None) -> Scanned:
    """What is wrong with it and what is inside. `say` hears of it when it has to wait for others' scans."""
    return platforms.scanner(say).scan(artifact, SCAN_SECONDS)


def rescan(artifact: Artifact, cyclonedx: bytes) -> ScanReport | ScanNotDone:
    """Its stored bill of materials by the newest database: many times faster, and nothing of the artifact is read."""
    return platforms.scanner().rescan(artifact, cyclonedx, RESCAN_SECONDS)


def rescan_all(
    bills: Sequence[tuple[Artifact, bytes]], say: Say = lambda _: None
) -> tuple[ScanReport | ScanNotDone, ...]:
    """Many of them, two at once; in the order asked. One that could not be done does not stop the others."""
    return rescan_all_with(platforms.scanner(), bills, say)


def rescan_all_with(
    scanner: Scanner, bills: Sequence[tuple[Artifact, bytes]], say: Say
) -> tuple[ScanReport | ScanNotDone, ...]:
    """The same with a scanner of one's own."""

    def one(asked: tuple[Artifact, bytes]) -> ScanReport | ScanNotDone:
        return scanner.rescan(*asked, RESCAN_SECONDS)

    reports = []
    with ThreadPoolExecutor(RESCANS_AT_ONCE) as pool:
        for number, report in enumerate(pool.map(one, bills), 1):
            reports.append(report)
            say(f"looked again at {number} of {len(bills)} bills of materials")
    return tuple(reports)
