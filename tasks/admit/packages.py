"""Names of packages: what a quarantine says, held against what a bill of materials lists. Pure.

Specifications: package URL (https://github.com/package-url/purl-spec), PEP 503 (names) and PEP 440 (versions) for PyPI.
A purl has more rules than are needed to compare two: type, namespace, name and version are, qualifiers are not.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from packaging.version import InvalidVersion, Version

from tasks.errors import InvalidInputError
from tasks.evidence import Package

ANY: Final = "*"
PYPI: Final = "pypi"
PURL: Final = "pkg:"
DISTRIBUTED: Final = frozenset({"deb", "rpm", "apk"})
"""Of these the namespace is the distribution, and no part of the name."""


@dataclass(frozen=True)
class Named:
    """A package by name: `ecosystem` is its purl's type, empty where nobody said. A namespace is part of the name."""

    name: str
    version: str
    ecosystem: str = ""

    def is_same(self, other: "Named") -> bool:
        """Of one name, and of one version unless either is of any."""
        if self.ecosystem and other.ecosystem and self.ecosystem != other.ecosystem:
            return False
        ecosystem = self.ecosystem or other.ecosystem
        if _name(self.name, ecosystem) != _name(other.name, ecosystem):
            return False
        return ANY in (self.version, other.version) or _is_same_version(
            self.version, other.version, ecosystem
        )


def wanted(what: str) -> Named:
    """What a quarantine of `name@version`, `name@*` or `pkg:type/namespace/name@version` is about."""
    found = _of_purl(what) if what.startswith(PURL) else _of_words(what)
    if found is None or not found.name or not found.version or _has_spaces(what):
        raise InvalidInputError(
            f"asked for the package {what!r}; write NAME@VERSION (`requests@2.31.0`, `@scope/name@1.2.0`), NAME@* for"
            " every version, or its package URL (`pkg:pypi/requests@2.31.0`)"
        )
    return found


def contains(package: Package, what: Named) -> bool:
    """Is the package the one that is meant? By its purl, and by the name and version it is listed with."""
    return any(what.is_same(name) for name in _names(package))


def _names(package: Package) -> tuple[Named, ...]:
    """Versions differ for some: of Debian's the purl keeps the epoch elsewhere."""
    by_purl = _of_purl(package.purl) if package.purl else None
    if by_purl is None:
        return (Named(package.name, package.version),)
    listed = Named(package.name, package.version, by_purl.ecosystem)
    bare = Named(by_purl.name, package.version, by_purl.ecosystem)
    return (listed, by_purl, bare) if package.version else (by_purl,)


def _of_words(what: str) -> Named | None:
    """The last `@` parts them: names of npm may begin with one."""
    name, at, version = what.rpartition("@")
    return Named(name, version) if at else None


def _of_purl(purl: str) -> Named | None:
    """None if it is no purl with a version. The version's `@` is the last one before qualifiers and subpath."""
    path = purl.removeprefix(PURL).lstrip("/").partition("#")[0].partition("?")[0]
    front, at, version = path.rpartition("@")
    ecosystem, slash, name = front.partition("/")
    if not at or not slash or not purl.startswith(PURL):
        return None
    kind, name = ecosystem.lower(), unquote(name.strip("/"))
    return Named(name.rpartition("/")[2] if kind in DISTRIBUTED else name, unquote(version), kind)


def _name(name: str, ecosystem: str) -> str:
    if ecosystem == PYPI:
        return re.sub(r"[-_.]+", "-", name).lower()
    return name.replace(":", "/") if ecosystem == "maven" else name


def _is_same_version(one: str, other: str, ecosystem: str) -> bool:
    if one == other or ecosystem != PYPI:
        return one == other
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return False


def _has_spaces(what: str) -> bool:
    return any(mark.isspace() or not mark.isprintable() for mark in what)
