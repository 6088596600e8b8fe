"""What scan evidence says, as a predicate and back. Pure.

Predicate: cosign's vulnerability scan record, https://cosign.sigstore.dev/attestation/vuln/v1 (COSIGN_VULN_ATTESTATION_SPEC).
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from tasks.evidence import Dossier, Kind, Scanned, ScanNotDone, ScanReport, Statement

DONE: Final = TypeAdapter(ScanReport)
NOT_DONE: Final = TypeAdapter(ScanNotDone)


def scan_predicate(report: ScanReport | ScanNotDone) -> dict[str, Any]:
    """A scan, or that none was done, as an attestation says it."""
    if isinstance(report, ScanNotDone):
        moment, scanner, updated = report.at, "", ""
        result = {"not-done": NOT_DONE.dump_python(report, mode="json")}
    else:
        moment, scanner = report.scanned_at, report.scanner
        updated = report.database_updated_at.isoformat()
        # Without what is empty: of a large image every licence of every package is a finding.
        result = {"done": DONE.dump_python(report, mode="json", exclude_defaults=True)}
    return {
        "invocation": {"parameters": [], "uri": "", "event_id": "", "builder.id": "bakewell"},
        "scanner": {
            "uri": "pkg:github/aquasecurity/trivy",
            "version": scanner,
            "db": {"uri": "", "version": "2", "lastUpdate": updated},
            "result": result,
        },
        "metadata": {
            "scanStartedOn": moment.isoformat(),
            "scanFinishedOn": moment.isoformat(),
        },
    }


def scan_statements(scanned: Scanned, known: Dossier | None = None) -> tuple[Statement, ...]:
    """What a scan gives to attest: its result, and each bill that nobody vouches for yet (no two are equal, although they
    say the same)."""
    bills = {Kind.CYCLONEDX: scanned.cyclonedx, Kind.SPDX: scanned.spdx}
    new = [kind for kind, raw in bills.items() if raw and not (known and known.valid(kind))]
    said = Statement(Kind.SCAN, scan_predicate(scanned.report))
    return (said, *(Statement(kind, json.loads(bills[kind])) for kind in new))


def newest_scan(
    predicates: Sequence[Mapping[str, Any]], digest: str
) -> ScanReport | ScanNotDone | None:
    """What the latest of these predicates found out about the digest; None if none of them can be understood."""
    found = [one for one in map(_scan, predicates) if one is not None and one.digest == digest]
    return max(found, key=scan_moment, default=None)


def scan_moment(report: ScanReport | ScanNotDone) -> datetime:
    """When it was made."""
    return report.at if isinstance(report, ScanNotDone) else report.scanned_at


def _scan(predicate: Mapping[str, Any]) -> ScanReport | ScanNotDone | None:
    try:
        result = predicate["scanner"]["result"]
        if "done" in result:
            return DONE.validate_python(result["done"])
        return NOT_DONE.validate_python(result["not-done"])
    except (KeyError, TypeError, ValidationError):
        return None
