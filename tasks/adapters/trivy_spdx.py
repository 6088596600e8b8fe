"""Trivy's SPDX 2.3 bill of materials, made to name the artifact and to be the same each time. Pure.

As trivy_bill.py does it for CycloneDX: identifiers follow from contents, lists are in order. The format demands times;
as what is inside follows from the digest and not from when somebody looked, they are the epoch, as in baked layers.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from tasks.adapters.trivy_bill import canonical
from tasks.model import Artifact

EPOCH: Final = "1970-01-01T00:00:00Z"
NAMESPACE: Final = "https://bakewell.dev/spdx"
DOCUMENT: Final = "SPDXRef-DOCUMENT"
CONTAINER: Final = "SPDXRef-ContainerImage-"
PLACES: Final = ("Reference:", "RepoDigest:", "RepoTag:")
Element = dict[str, Any]


def settled(document: Mapping[str, Any], artifact: Artifact) -> bytes:
    """The document as bytes: a function of the digest and of the scanner's version. ValueError if it is no SPDX 2.3."""
    if document.get("spdxVersion") != "SPDX-2.3":
        raise ValueError(f"no SPDX 2.3: {str(document)[:200]}")
    space = uuid5(NAMESPACE_URL, artifact.digest)
    packages = [_package(one, artifact) for one in document.get("packages") or ()]
    identifiers = _identifiers(packages, space)
    told = {
        **document,
        "name": f"{artifact.service}@{artifact.digest}",
        "creationInfo": {**document["creationInfo"], "created": EPOCH},
        "packages": sorted((_renamed(one, identifiers) for one in packages), key=_identifier),
        "relationships": _relationships(document, identifiers),
        "documentNamespace": "",
    }
    told["documentNamespace"] = f"{NAMESPACE}/{artifact.service}-{uuid5(space, canonical(told))}"
    return canonical(told).encode()


def _package(package: Mapping[str, Any], artifact: Artifact) -> Element:
    """Times out, and of the image itself everything that says where it lies."""
    notes = [{**one, "annotationDate": EPOCH} for one in package.get("annotations") or ()]
    if not str(package["SPDXID"]).startswith(CONTAINER):
        return {**package, "annotations": notes} if notes else dict(package)
    kept = [one for one in notes if not str(one.get("comment", "")).startswith(PLACES)]
    here = {key: value for key, value in package.items() if key != "externalRefs"}
    return {**here, "name": artifact.service, "versionInfo": artifact.digest, "annotations": kept}


def _identifiers(packages: list[Element], space: UUID) -> dict[str, str]:
    """For each identifier one that follows from what it identifies; its kind stays. Equal things are numbered."""
    found = {DOCUMENT: DOCUMENT}
    seen: Counter[str] = Counter()
    for one in packages:
        identifier = _identifier(one)
        content = canonical({key: value for key, value in one.items() if key != "SPDXID"})
        kind = identifier.rpartition("-")[0]
        found[identifier] = f"{kind}-{uuid5(space, f'{seen[content]} {content}')}"
        seen[content] += 1
    return found


def _renamed(package: Element, identifiers: Mapping[str, str]) -> Element:
    return {**package, "SPDXID": identifiers[_identifier(package)]}


def _identifier(package: Element) -> str:
    return str(package["SPDXID"])


def _relationships(document: Mapping[str, Any], identifiers: Mapping[str, str]) -> list[Element]:
    """KeyError if one is about something that the document does not list."""
    told = [
        {
            **one,
            "spdxElementId": identifiers[one["spdxElementId"]],
            "relatedSpdxElement": identifiers[one["relatedSpdxElement"]],
        }
        for one in document.get("relationships") or ()
    ]
    return sorted(told, key=canonical)
