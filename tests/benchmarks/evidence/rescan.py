"""Stored bills of materials by today's database: ours against bare `trivy sbom` in a loop over the same files."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tasks.evidence import ScanReport
from tasks.model import Artifact
from tasks.oci import digest_of
from tasks.scan.scanning import Known, rescan_many, scan
from tests.benchmarks.evidence import bare
from tests.benchmarks.evidence.ground import Ground, base_layer, image
from tests.benchmarks.evidence.measuring import Cost, cost_of, run, table

BASE_BYTES = 20_000_000


def measure(ground: Ground, count: int) -> str:
    """Bills of as many digests, each without another component. Half of each side, in turn, so that both meet all weather."""
    stored = _stored(ground, count)
    files = _files(ground, stored)
    ours, theirs, half = Cost(0, 0), Cost(0, 0), count // 2
    for part in (slice(0, half), slice(half, count)):
        ours += cost_of(partial(_ours, stored[part]))
        theirs += cost_of(partial(_theirs, ground, files[part]))
    sizes = f"{len(json.loads(stored[0].cyclonedx)['components'])} components, {len(stored[0].cyclonedx) / 1e3:.0f} kB"
    rows = [
        (
            what,
            f"{cost.seconds:.1f}",
            f"{1000 * cost.seconds / count:.0f}",
            f"{cost.cpu_seconds:.1f}",
        )
        for what, cost in (("ours, two at once", ours), ("bare `trivy sbom`, a loop", theirs))
    ]
    return (
        f"{count} bills of {sizes} each.\n\n"
        + table(("", "seconds", "ms per bill", "processor seconds"), rows)
        + f"\nours / bare: **{ours.seconds / theirs.seconds:.2f} x**, processor"
        f" {ours.cpu_seconds / theirs.cpu_seconds:.2f} x\n"
    )


def _stored(ground: Ground, count: int) -> list[Known]:
    base = base_layer(ground.folder / "bills.tgz", BASE_BYTES)
    artifact = image(ground.store("bills"), base, "bills")
    found = scan(artifact)
    if not isinstance(found.report, ScanReport):
        raise SystemExit(f"{artifact.reference} was not scanned: {found.report.reason}")
    bill = json.loads(found.cyclonedx)
    return [_known(bill, artifact, found.report, number) for number in range(count)]


def _known(bill: dict[str, Any], of: Artifact, report: ScanReport, number: int) -> Known:
    components = bill["components"]
    rest = [one for place, one in enumerate(components) if place != number % len(components)]
    digest = digest_of(str(number).encode())
    raw = json.dumps({**bill, "components": rest}).replace(of.digest, digest)
    return Known(Artifact(of.service, digest, of.repository), raw.encode(), report)


def _files(ground: Ground, stored: Sequence[Known]) -> list[Path]:
    folder = ground.bare / "bills"
    folder.mkdir(parents=True)
    files = [folder / f"{number}.cdx.json" for number in range(len(stored))]
    for file, one in zip(files, stored, strict=True):
        file.write_bytes(one.cyclonedx)
    return files


def _ours(stored: Sequence[Known]) -> None:
    for report in rescan_many(stored):
        if not isinstance(report, ScanReport) or not report.packages:
            raise SystemExit(f"a bill was not scanned: {report}")


def _theirs(ground: Ground, files: Sequence[Path]) -> None:
    wanted = ("--scanners", "vuln,license", "--list-all-pkgs", "--format", "json")
    cache: bare.Command = ["--cache-dir", ground.bare / "trivy"]
    for file in files:
        to: bare.Command = ["--output", file.with_suffix(".found")]
        run(
            [ground.trivy, "sbom", *bare.ALONE, *cache, *wanted, *to, file],
            ground.environment,
            ground.bare,
        )
