"""Contents: what an artifact is made of, read from its store and from the evidence beside it. No Prefect.

TransientError if a store does not answer. What is not there, or is not what it should be, is a reason and not an error: the
rule of quarantines (tasks/admit/quarantine.py) refuses for it.
"""

import json
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from tasks import oci, platforms
from tasks.admit.contents import (
    base_of,
    dependencies_of,
    layers_of,
    places_of,
    repository_of_base,
)
from tasks.admit.quarantine import Contents
from tasks.errors import BakewellError, InvalidInputError, RefusedError, TransientError
from tasks.evidence import Dossier, Kind, QuarantineKind
from tasks.model import Artifact
from tasks.ports import ArtifactStore
from tasks.sign import evidence
from tasks.sign.bills import packages

MOST_BASES: Final = 32  # of all platforms, one on the other; more is somebody's joke
BROKEN: Final = (AttributeError, KeyError, TypeError, ValueError)


@dataclass(frozen=True)
class Lineage:
    """Everything it says it was built from, base of base of base; `unread`: why that is not all."""

    bases: frozenset[str]
    unread: str = ""


def contents_of(
    artifact: Artifact, kinds: Collection[QuarantineKind], dossier: Dossier | None = None
) -> Contents:
    """What quarantines of these kinds have to know; only that is read. `dossier` saves reading the evidence again."""
    inside = Contents(artifact.digest)
    if not {QuarantineKind.BASE, QuarantineKind.PACKAGE} & set(kinds):
        return inside
    found = dossier or evidence.examine(artifact)
    if QuarantineKind.BASE in kinds:
        inside = _with_bases(inside, artifact, found)
    return _with_packages(inside, found) if QuarantineKind.PACKAGE in kinds else inside


def image_layers(artifact: Artifact) -> tuple[str, ...]:
    """Diff ids, lowest first. RefusedError if it is not there, or no image."""
    store = platforms.store(artifact.repository)
    return _image_layers(store, oci.checked_manifest(store.manifest(artifact.digest)))


def layers_of_base(repository: str, digest: str) -> tuple[tuple[str, ...], ...]:
    """The diff ids of a base image; of every platform's, if it is an index. Empty if it is no container image.

    RefusedError if it is not there.
    """
    store = platforms.store(repository)
    found = (_image_layers(store, manifest) for manifest in _manifests(store, digest))
    return tuple(layers for layers in found if layers)


def _with_bases(inside: Contents, artifact: Artifact, dossier: Dossier) -> Contents:
    lineage = _lineage(artifact, dossier)
    known = replace(inside, bases=lineage.bases, bases_unread=lineage.unread)
    try:
        store = platforms.store(artifact.repository)
        layers = _image_layers(store, oci.checked_manifest(store.manifest(artifact.digest)))
    except (RefusedError, *BROKEN) as error:
        return replace(known, layers=None, layers_unread=f"its layers cannot be read: {error}")
    if not layers:
        return replace(known, layers=None, layers_unread="its configuration lists no layers")
    return replace(known, layers=layers)


def _with_packages(inside: Contents, dossier: Dossier) -> Contents:
    """Of all bills that our scanner vouches for: what any of them lists is in it."""
    bills = dossier.valid(Kind.CYCLONEDX)
    if not bills:
        beside = ", ".join(f"{one.proof.value}: {one.found}" for one in dossier.of(Kind.CYCLONEDX))
        why = f"no bill of materials that our scanner vouches for lies beside it ({beside or 'there is none'})"
        return replace(inside, packages=None, packages_unread=why)
    listed = [packages(bill) for bill in bills]
    read = [found for found in listed if found is not None]
    if len(read) < len(listed):
        return replace(
            inside, packages=None, packages_unread="its bill of materials cannot be read"
        )
    return replace(inside, packages=frozenset().union(*read))


def _lineage(artifact: Artifact, dossier: Dossier) -> Lineage:
    """By what each says of itself and what our builder vouches for, as long as it can be read. A base may lie in a registry
    that does not answer: that much is not known then, and matters only to a quarantine that knows no layers."""
    bases: set[str] = set()
    seen: list[Artifact] = []
    unread, todo = "", deque([artifact])
    while todo and len(seen) < MOST_BASES:
        one = todo.popleft()
        seen.append(one)
        try:
            vouched = dossier if one == artifact else evidence.examine(one)
            bases |= _said(vouched)
            below = [base for base in _below(one, vouched) if base not in seen]
        except (BakewellError, *BROKEN) as error:
            if one == artifact and isinstance(error, TransientError):
                raise
            unread = f"what it stands on can be told no further than {one.digest}: {error}"
            continue
        bases |= {base.digest for base in below}
        todo.extend(below)
    return Lineage(frozenset(bases), f"it has more than {MOST_BASES} bases" if todo else unread)


def _below(artifact: Artifact, dossier: Dossier) -> Iterator[Artifact]:
    """What its manifest says it stands on; looked for where manifest or provenance say it is, else beside the artifact."""
    store, places = platforms.store(artifact.repository), dict[str, str]()
    for provenance in dossier.valid(Kind.PROVENANCE):
        places |= places_of(provenance)
    for manifest in _manifests(store, artifact.digest):
        if base := base_of(manifest):
            repository = repository_of_base(manifest) or places.get(base) or artifact.repository
            yield Artifact(artifact.service, base, repository)


def _said(dossier: Dossier) -> frozenset[str]:
    """What our builder vouches that it was built from."""
    return frozenset().union(*map(dependencies_of, dossier.valid(Kind.PROVENANCE)))


def _manifests(store: ArtifactStore, digest: str) -> Iterator[Mapping[str, Any]]:
    """The manifest of that digest; of an index its images'."""
    manifest = oci.checked_manifest(store.manifest(digest))
    if oci.media_type(manifest) not in oci.INDEX_TYPES:
        yield manifest
        return
    for child in manifest["manifests"]:
        if (child.get("platform") or {}).get("os") != "unknown":  # what BuildKit attests lies there
            yield oci.checked_manifest(store.manifest(child["digest"]))


def _image_layers(store: ArtifactStore, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    if "config" not in manifest:
        raise InvalidInputError(f"found {oci.media_type(manifest)}, which is no image with layers")
    return layers_of(json.loads(store.blob(manifest["config"]["digest"])))
