"""What is different between two artifacts: packages, vulnerabilities, files, configuration. Pure.

What one of them cannot tell is Unknown, with the reason: never "no difference".
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tasks.contents import Member, MemberKind
from tasks.evidence import Finding, FindingKind, Package, ScanNotDone, ScanReport, Severity
from tasks.model import Artifact, Label
from tasks.sign.bills import without_version

MASK: Final = "****"
SECRET_NAME: Final = re.compile(
    r"pass(word|wd|phrase)?|secret|token|credential|auth|priv(ate)?_?key|api_?key|access_?key|(^|_)key($|_)|dsn|cookie"
    r"|salt|signature|session",
    re.IGNORECASE,
)
LOGIN: Final = re.compile(r"(?<=://)[^/@\s]+(?=@)")


@dataclass(frozen=True)
class Unknown:
    """Why this part could not be compared."""

    reason: str


@dataclass(frozen=True, order=True)
class PackageChange:
    """`before` and `after` are versions, sorted; empty where it is absent."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True)
class VulnerabilityChanges:
    """`notes`: what makes the comparison less than it seems."""

    fixed: tuple[Finding, ...]
    introduced: tuple[Finding, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileChange:
    """None where it is absent."""

    path: str
    before: Member | None
    after: Member | None


@dataclass(frozen=True, order=True)
class SettingChange:
    """One part of the configuration: `command`, `environment PORT`, `label x`. None where it is not set."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Difference:
    """Of two artifacts. `shared_layers` are the layers both begin with."""

    before: Artifact
    after: Artifact
    packages: tuple[PackageChange, ...] | Unknown
    vulnerabilities: VulnerabilityChanges | Unknown
    files: tuple[FileChange, ...]
    settings: tuple[SettingChange, ...]
    shared_layers: int = 0


# ---- packages ------------------------------------------------------------------------------------


def package_changes(
    before: Sequence[Package] | None, after: Sequence[Package] | None
) -> tuple[PackageChange, ...] | Unknown:
    """By purl without its version; a package may be there in several versions."""
    if before is None or after is None:
        which = "neither has" if before is after else f"{'A' if before is None else 'B'} has no"
        return Unknown(f"{which} SBOM that our scanner vouches for; what is inside is not known")
    old, new = _versions(before), _versions(after)
    return tuple(
        PackageChange(name, old.get(name, ()), new.get(name, ()))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def _versions(packages: Iterable[Package]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for one in packages:
        found.setdefault(without_version(one), set()).add(one.version)
    return {name: tuple(sorted(versions)) for name, versions in found.items()}


# ---- vulnerabilities -----------------------------------------------------------------------------

Report = ScanReport | ScanNotDone | None


def vulnerability_changes(before: Report, after: Report) -> VulnerabilityChanges | Unknown:
    """By identifier and package. Unknown unless both were scanned."""
    unknown = [f"{name} {why}" for name, one in (("A", before), ("B", after)) if (why := _why(one))]
    if unknown or not isinstance(before, ScanReport) or not isinstance(after, ScanReport):
        return Unknown("; ".join(unknown))
    old, new = _known(before), _known(after)
    return VulnerabilityChanges(
        worst_first(one for key, one in old.items() if key not in new),
        worst_first(one for key, one in new.items() if key not in old),
        tuple(_notes(before, after)),
    )


def _why(report: Report) -> str:
    if report is None:
        return "has no scan that our scanner vouches for"
    return f"was not scanned: {report.reason}" if isinstance(report, ScanNotDone) else ""


def _notes(before: ScanReport, after: ScanReport) -> Iterable[str]:
    if before.database_updated_at != after.database_updated_at:
        yield (
            f"A was scanned with a database of {before.database_updated_at:%Y-%m-%d %H:%M}, B with one of"
            f" {after.database_updated_at:%Y-%m-%d %H:%M} UTC: what became known between is no difference of theirs"
        )
    if before.scanner != after.scanner:
        yield f"A was scanned by {before.scanner}, B by {after.scanner}"
    for name, one in (("A", before), ("B", after)):
        if not one.packages:
            yield f"in {name} the scanner recognised no package: that it knows nothing wrong says little"


def _known(report: ScanReport) -> dict[tuple[str, str], Finding]:
    return {
        (one.id, one.package): one
        for one in report.findings
        if one.kind is FindingKind.VULNERABILITY
    }


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    order = list(Severity)
    return tuple(
        sorted(findings, key=lambda one: (-order.index(one.severity), one.id, one.package))
    )


# ---- files ---------------------------------------------------------------------------------------


def file_changes(
    before: Mapping[str, Member], after: Mapping[str, Member]
) -> tuple[FileChange, ...]:
    """Of files and links; folders hold nothing of their own."""
    changes = (
        FileChange(path, _content(before.get(path)), _content(after.get(path)))
        for path in sorted(before.keys() | after.keys())
    )
    return tuple(one for one in changes if one.before != one.after)


def _content(member: Member | None) -> Member | None:
    return None if member is None or member.kind is MemberKind.FOLDER else member


# ---- configuration -------------------------------------------------------------------------------


def setting_changes(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[SettingChange, ...]:
    """Of two OCI image configurations. Values whose names look secret are masked, and still compared."""
    old, new = _settings(before), _settings(after)
    return tuple(
        masked(SettingChange(name, old.get(name), new.get(name)))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def masked(change: SettingChange) -> SettingChange:
    """What looks secret is not shown: whole values by their name, logins in addresses by their form."""
    if change.name.startswith("environment ") and SECRET_NAME.search(change.name.partition(" ")[2]):
        return replace(
            change,
            before=None if change.before is None else MASK,
            after=None if change.after is None else MASK,
        )
    return replace(change, before=_without_login(change.before), after=_without_login(change.after))


def _without_login(value: str | None) -> str | None:
    return value if value is None else LOGIN.sub(MASK, value)


def _settings(image: Mapping[str, Any]) -> dict[str, str]:
    config = image.get("config") or {}
    found = {
        "platform": f"{image.get('os', '')}/{image.get('architecture', '')}",
        "entrypoint": _words(config.get("Entrypoint")),
        "command": _words(config.get("Cmd")),
        "user": str(config.get("User") or ""),
        "folder": str(config.get("WorkingDir") or ""),
        "ports": ", ".join(sorted(config.get("ExposedPorts") or {})),
        "volumes": ", ".join(sorted(config.get("Volumes") or {})),
        "stop signal": str(config.get("StopSignal") or ""),
    }
    for pair in config.get("Env") or ():
        name, _, value = str(pair).partition("=")
        found[f"environment {name}"] = value
    for name, value in (config.get("Labels") or {}).items():
        if name != Label.CONTENT_KEY:  # another artifact has another: that says nothing more
            found[f"label {name}"] = str(value)
    unset = ("entrypoint", "command", "user", "folder", "ports", "volumes", "stop signal")
    return {name: value for name, value in found.items() if value or name not in unset}


def _words(command: Any) -> str:
    """As one would see it: each word as it is, quoted where it has blanks."""
    return " ".join(repr(word) if re.search(r"\s", word) else word for word in command or ())
