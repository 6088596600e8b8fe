"""Reads a hash-locked requirements file: the part of pip's format that pins. Pure.

Every requirement must be `name==version` with at least one `--hash=sha256:…`, as `uv export`, `uv pip compile
--generate-hashes` and `pip-compile --generate-hashes` write them; everything else is refused, naming the line.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from tasks.errors import InvalidInputError

_COMMENT = re.compile(r"(^|\s)#.*$")
_HASH = re.compile(r"\s--hash[=\s]\s*(?P<algorithm>[a-z0-9]+):(?P<value>[0-9a-fA-F]+)(?=\s|$)")


@dataclass(frozen=True)
class LockedPackage:
    """One package of one version, and the hashes its files may have (sha256, hex). `line` is where it is pinned."""

    name: str
    version: str
    sha256: frozenset[str]
    line: int


def locked_packages(text: str, file: str, machine: Mapping[str, str]) -> tuple[LockedPackage, ...]:
    """What the file pins for this machine (its marker environment, see PEP 508), sorted by name."""
    found: dict[str, LockedPackage] = {}
    for number, line in _logical_lines(text):
        package = _locked(line, number, file, machine)
        if package is None:
            continue
        other = found.setdefault(package.name, package)
        if other != package:
            raise _refused(
                file, number, line, f"line {other.line} pins {other.name}, too", "keep one"
            )
    return tuple(found[name] for name in sorted(found))


def _locked(line: str, number: int, file: str, machine: Mapping[str, str]) -> LockedPackage | None:
    """None if its marker says that it is not for this machine."""
    if line.startswith("-"):
        problem, advice = (
            "options have no place here",
            "set pip's options in pip's own configuration",
        )
        raise _refused(file, number, line, problem, advice)
    hashes = frozenset(
        found["value"].lower() for found in _HASH.finditer(line) if found["algorithm"] == "sha256"
    )
    requirement = _requirement(_HASH.sub("", line), line, number, file)
    if not hashes:
        advice = "lock it with hashes: `uv pip compile --generate-hashes` or `pip-compile --generate-hashes`"
        raise _refused(file, number, line, "it has no --hash=sha256:…", advice)
    if any(len(value) != 64 for value in hashes):
        raise _refused(file, number, line, "a sha256 has 64 hex digits", "lock it again")
    version = _pinned(requirement, line, number, file)
    if not _applies(requirement.marker, machine):
        return None
    return LockedPackage(canonicalize_name(requirement.name), version, hashes, number)


def _requirement(text: str, line: str, number: int, file: str) -> Requirement:
    try:
        return Requirement(text.strip())
    except InvalidRequirement as error:
        problem = str(error).splitlines()[0]
        advice = "write name==version --hash=sha256:…"
        raise _refused(file, number, line, problem, advice) from error


def _pinned(requirement: Requirement, line: str, number: int, file: str) -> str:
    pins = list(requirement.specifier)
    if requirement.url or len(pins) != 1 or pins[0].operator != "==" or "*" in pins[0].version:
        advice = "only wheels of one exact version from an index can be baked: name==version"
        raise _refused(file, number, line, "it is not pinned to one version", advice)
    return pins[0].version


def _applies(marker: Marker | None, machine: Mapping[str, str]) -> bool:
    return marker is None or marker.evaluate(dict(machine))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their continuations, without comments, with the number of their first line; as pip joins them."""
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first if parts else number
        comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not comment:
            parts.append(line[:-1])
            continue
        joined = _COMMENT.sub("", " ".join([*parts, line])).strip()
        parts = []
        if joined:
            yield first, joined
    if last := _COMMENT.sub("", " ".join(parts)).strip():
        yield first, last


def _refused(file: str, number: int, line: str, problem: str, advice: str) -> InvalidInputError:
    shown = line if len(line) <= 60 else f"{line[:60]}…"
    return InvalidInputError(f"asked to bake {file}; line {number} ({shown}): {problem}; {advice}")
