"""Trivy's report in our words. Pure. Its JSON schema version 2 only: another may mean something else by the same names."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from tasks.evidence import Finding, FindingKind, Severity

SCHEMA: Final = 2
CONFIGURATION: Final = "the image's configuration"
VARIABLE: Final = re.compile(r'"([A-Za-z_][A-Za-z0-9_]*)=\*+"?')  # censored by Trivy to the end
Report = Mapping[str, Any]


def problem_of(report: Report) -> str:
    """Why this is no report that we can use; empty if it is one."""
    if (version := report.get("SchemaVersion")) != SCHEMA:
        return f"its report has the schema {version!r}, {SCHEMA} is known"
    hidden = [
        one for result in _results(report) for one in _list(result, "ExperimentalModifiedFindings")
    ]
    if hidden:
        return (
            f"it left out {len(hidden)} findings because somebody told it to ({hidden[0].get('Source', 'unknown')});"
            " only policies decide that: find what told it, and remove it"
        )
    return ""


def packages_of(report: Report) -> int:
    """How many were recognised; 0: the scanner understood nothing."""
    return sum(len(_list(result, "Packages")) for result in _results(report))


def scanner_of(report: Report) -> str:
    """Name and version, the server's too where one was asked."""
    trivy = report.get("Trivy") or {}
    server = (trivy.get("Server") or {}).get("Version", "")
    told = f"trivy {trivy.get('Version', '')}".strip()
    return f"{told} (server {server})" if server else told


def server_database_of(report: Report) -> datetime:
    """When the database was made that the server used. KeyError or ValueError if it does not say."""
    moment = report["Trivy"]["Server"]["VulnerabilityDB"]["UpdatedAt"]
    return datetime.fromisoformat(f"{moment[:19]}+00:00")


def findings_of(report: Report) -> tuple[Finding, ...]:
    return (*_vulnerabilities(report), *secrets_of(report), *_licences(report))


def secrets_of(report: Report) -> tuple[Finding, ...]:
    """Without the secret itself: only where it is, and of which kind."""
    return tuple(
        Finding(
            FindingKind.SECRET,
            secret.get("RuleID", ""),
            _severity(secret),
            _place(report, result, secret),
            "",
            "",
            secret.get("Title", ""),
        )
        for result in _results(report)
        for secret in _list(result, "Secrets")
    )


def _place(report: Report, result: Report, secret: Report) -> str:
    """The file; or the image's configuration, which Trivy calls by the name of the image, and the variable in it."""
    target = str(result.get("Target", ""))
    if target != report.get("ArtifactName"):
        return target
    variable = VARIABLE.search(str(secret.get("Match", "")))
    return f"{CONFIGURATION}: {variable[1]}" if variable else CONFIGURATION


def _vulnerabilities(report: Report) -> Iterator[Finding]:
    for result in _results(report):
        for one in _list(result, "Vulnerabilities"):
            yield Finding(
                FindingKind.VULNERABILITY,
                one["VulnerabilityID"],
                _severity(one),
                one.get("PkgName", ""),
                one.get("InstalledVersion", ""),
                one.get("FixedVersion", ""),
                one.get("Title", ""),
                _moment(one.get("PublishedDate")),
                (one.get("PkgIdentifier") or {}).get("PURL", ""),
            )


def _licences(report: Report) -> Iterator[Finding]:
    """One for each package and licence, also those that are merely to be noted: which may run is for policies to say."""
    packages, seen = _packages(report), set()
    for result in _results(report):
        for one in _list(result, "Licenses"):
            where = one.get("PkgName") or one.get("FilePath") or result.get("Target", "")
            if (where, one["Name"]) in seen:
                continue
            seen.add((where, one["Name"]))
            version, purl = packages.get(where, ("", ""))
            title = f"{one.get('Category') or 'unknown'} licence"
            kind, severity = FindingKind.LICENCE, _severity(one)
            yield Finding(kind, one["Name"], severity, where, version, "", title, None, purl)


def _packages(report: Report) -> dict[str, tuple[str, str]]:
    """Version and purl of each name of which there is only one: licences name their package only by name."""
    found: dict[str, set[tuple[str, str]]] = {}
    for result in _results(report):
        for one in _list(result, "Packages"):
            purl = (one.get("Identifier") or {}).get("PURL", "")
            found.setdefault(one.get("Name", ""), set()).add((_version(one), purl))
    return {name: next(iter(those)) for name, those in found.items() if len(those) == 1}


def _version(package: Report) -> str:
    """As Trivy writes it beside a vulnerability: epoch:version-release."""
    epoch = f"{package['Epoch']}:" if package.get("Epoch") else ""
    release = f"-{package['Release']}" if package.get("Release") else ""
    return f"{epoch}{package.get('Version', '')}{release}"


def _moment(said: str | None) -> datetime | None:
    """None where it is not said, or says the year 1 as Go does for no time at all."""
    if not said:
        return None
    found = datetime.fromisoformat(f"{said[:19]}+00:00").astimezone(UTC)
    return found if found.year > 1 else None


def _severity(entry: Report) -> Severity:
    name = entry.get("Severity", "")
    return Severity(name) if name in Severity.__members__ else Severity.UNKNOWN


def _results(report: Report) -> list[dict[str, Any]]:
    return report.get("Results") or []


def _list(result: Report, name: str) -> list[dict[str, Any]]:
    return result.get(name) or []
