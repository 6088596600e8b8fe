"""Trivy's report in our words. Pure. Its JSON schema version 2 only: another may mean something else by the same names."""

from collections.abc import Iterator
from typing import Any, Final

from tasks.evidence import Finding, FindingKind, Severity

SCHEMA: Final = 2


def problem_of(report: dict[str, Any]) -> str:
    """Why this is no report; empty if it is one."""
    version = report.get("SchemaVersion")
    return "" if version == SCHEMA else f"its report has the schema {version!r}, {SCHEMA} is known"


def packages_of(report: dict[str, Any]) -> int:
    """How many were recognised; 0: the scanner understood nothing."""
    return sum(len(result.get("Packages") or ()) for result in _results(report))


def scanner_of(report: dict[str, Any]) -> str:
    version = (report.get("Trivy") or {}).get("Version", "")
    return f"trivy {version}".strip()


def findings_of(report: dict[str, Any]) -> tuple[Finding, ...]:
    return (*_vulnerabilities(report), *secrets_of(report))


def secrets_of(report: dict[str, Any]) -> tuple[Finding, ...]:
    """Without the secret itself: only where it is, and of which kind."""
    return tuple(
        Finding(
            FindingKind.SECRET,
            secret.get("RuleID", ""),
            _severity(secret),
            result.get("Target", ""),
            "",
            "",
            secret.get("Title", ""),
        )
        for result in _results(report)
        for secret in result.get("Secrets") or ()
    )


def _vulnerabilities(report: dict[str, Any]) -> Iterator[Finding]:
    for result in _results(report):
        for one in result.get("Vulnerabilities") or ():
            yield Finding(
                FindingKind.VULNERABILITY,
                one["VulnerabilityID"],
                _severity(one),
                one.get("PkgName", ""),
                one.get("InstalledVersion", ""),
                one.get("FixedVersion", ""),
                one.get("Title", ""),
            )


def _severity(entry: dict[str, Any]) -> Severity:
    name = entry.get("Severity", "")
    return Severity(name) if name in Severity.__members__ else Severity.UNKNOWN


def _results(report: dict[str, Any]) -> list[dict[str, Any]]:
    return report.get("Results") or []
