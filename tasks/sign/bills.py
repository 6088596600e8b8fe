"""What a bill of materials lists. Pure: a CycloneDX document in, packages out (https://cyclonedx.org/docs/1.6/json)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tasks.evidence import Package

CODE: Final = frozenset({"library", "framework"})
"""Types of component that are packages even without a purl; systems, files and lock files are not."""


def packages(bill: Mapping[str, Any]) -> tuple[Package, ...] | None:
    """Sorted, each once. None if it is no CycloneDX document: that is not the same as a bill that lists nothing."""
    if bill.get("bomFormat") != "CycloneDX":
        return None
    components = bill.get("components")
    try:
        return tuple(sorted(set(_listed(components or ()))))
    except (TypeError, AttributeError, KeyError):
        return None


def fullest(bills: Sequence[Mapping[str, Any]]) -> tuple[Package, ...] | None:
    """Of several bills of one artifact the one that lists most: scanners learn to recognise more. None if none is readable."""
    found = [listed for one in bills if (listed := packages(one)) is not None]
    return max(found, key=len, default=None)


def _listed(components: Sequence[Mapping[str, Any]]) -> Iterator[Package]:
    for one in components:
        purl = str(one.get("purl") or "")
        if purl or one.get("type") in CODE:
            name = "/".join(filter(None, (str(one.get("group") or ""), str(one["name"]))))
            yield Package(name, str(one.get("version") or ""), purl, _licences(one))
        yield from _listed(one.get("components") or ())


def _licences(component: Mapping[str, Any]) -> tuple[str, ...]:
    """SPDX names and expressions, else what the bill calls them."""
    told = set()
    for one in component.get("licenses") or ():
        licence = one.get("license") or {}
        told.add(str(one.get("expression") or licence.get("id") or licence.get("name") or ""))
    return tuple(sorted(told - {""}))


def without_version(package: Package) -> str:
    """What stays the same when it is upgraded: the purl without version, qualifiers and subpath; else the name."""
    if not package.purl:
        return package.name
    plain = package.purl.partition("#")[0].partition("?")[0]
    head, slash, last = plain.rpartition("/")
    return f"{head}{slash}{last.partition('@')[0]}"
