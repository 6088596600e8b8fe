"""Trivy's CycloneDX bill of materials, made to name the artifact and to be the same each time. Pure.

Trivy names what it was told to read (for a layout that is a folder of ours, gone a moment later) and draws random
numbers. What is inside an artifact follows from its digest, so its bill does too: numbers come from contents (UUID
version 5), lists are in order, and the time is left out; the scan attested beside it says when.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from tasks.model import Artifact

RANDOM: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

PLACES: Final = frozenset(
    f"aquasecurity:trivy:{name}" for name in ("Reference", "RepoDigest", "RepoTag")
)


def settled(bill: Mapping[str, Any], artifact: Artifact) -> bytes:
    """The bill as bytes: a function of the digest and of the scanner's version. ValueError if it is no CycloneDX."""
    if bill.get("bomFormat") != "CycloneDX":
        raise ValueError(f"no CycloneDX: {str(bill)[:200]}")
    space = uuid5(NAMESPACE_URL, artifact.digest)
    metadata = {key: value for key, value in bill["metadata"].items() if key != "timestamp"}
    subject = _named(metadata["component"], artifact)
    components = [dict(one) for one in bill.get("components") or ()]
    references = {str(subject["bom-ref"]): artifact.digest, **_references(components, space)}
    whole = {
        **bill,
        "serialNumber": space.urn,
        "metadata": {**metadata, "component": subject},
        "components": components,
    }
    told = _renamed(whole, references)
    told["components"].sort(key=canonical)
    told["dependencies"] = _ordered(told.get("dependencies") or ())
    return canonical(told).encode()


def _named(component: Mapping[str, Any], artifact: Artifact) -> dict[str, Any]:
    """Without the reference, which says where the bytes are, not what they are."""
    kept = [one for one in component.get("properties") or () if one.get("name") not in PLACES]
    named = {key: value for key, value in component.items() if key != "purl"}
    return {**named, "name": artifact.service, "version": artifact.digest, "properties": kept}


def _references(components: list[dict[str, Any]], space: UUID) -> dict[str, str]:
    """For each random reference one that follows from what it refers to; equal things are numbered."""
    found: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for one in components:
        reference = str(one.get("bom-ref", ""))
        if RANDOM.fullmatch(reference):
            content = canonical({key: value for key, value in one.items() if key != "bom-ref"})
            found[reference] = str(uuid5(space, f"{seen[content]} {content}"))
            seen[content] += 1
    return found


def _renamed(value: Any, references: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(one, references) for key, one in value.items()}
    if isinstance(value, list):
        return [_renamed(one, references) for one in value]
    return references.get(value, value) if isinstance(value, str) else value


def _ordered(dependencies: Any) -> list[dict[str, Any]]:
    inside = [{**one, "dependsOn": sorted(one.get("dependsOn") or ())} for one in dependencies]
    return sorted(inside, key=lambda one: str(one["ref"]))


def subject_of(bill: bytes) -> str:
    """The digest of the artifact that a settled bill is about; empty if it does not say."""
    try:
        return str(json.loads(bill)["metadata"]["component"]["version"])
    except (ValueError, KeyError, TypeError):
        return ""


def canonical(value: Any) -> str:
    """JSON of one spelling only: bills are for people to read, so letters stay letters."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
