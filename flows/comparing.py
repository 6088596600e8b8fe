"""Comparing: reads what two artifacts are and what is attested of them; the rules say what is different."""

from collections.abc import Mapping
from typing import Any

from flows.differences import (
    Difference,
    FileChange,
    file_changes,
    package_changes,
    setting_changes,
    vulnerability_changes,
)
from tasks import oci, platforms
from tasks.adapters.image_files import members
from tasks.adapters.image_tree import configuration
from tasks.contents import Layer, shared, stands_alone, together
from tasks.errors import InvalidInputError
from tasks.evidence import Dossier, Kind
from tasks.model import Artifact
from tasks.ports import ArtifactStore
from tasks.sign import evidence
from tasks.sign.bills import fullest
from tasks.sign.rules import newest_scan


def compared(before: Artifact, after: Artifact) -> Difference:
    """NotFoundError, CorruptError if one cannot be read; TransientError if its store does not answer."""
    stores = platforms.store(before.repository), platforms.store(after.repository)
    images = _image(before, stores[0]), _image(after, stores[1])
    dossiers = evidence.examine(before), evidence.examine(after)
    layers = _layers(images[0]), _layers(images[1])
    return Difference(
        before,
        after,
        package_changes(*(fullest(one.valid(Kind.CYCLONEDX)) for one in dossiers)),
        vulnerability_changes(*map(_scan, dossiers)),
        _files(layers[0], layers[1], *stores),
        setting_changes(configuration(before, stores[0]), configuration(after, stores[1])),
        shared(*layers),
    )


def _image(artifact: Artifact, store: ArtifactStore) -> dict[str, Any]:
    manifest = oci.checked_manifest(store.manifest(artifact.digest))
    if "layers" not in manifest:
        raise InvalidInputError(
            f"asked to compare {artifact.reference}; it is an index of several images; name the digest of one of them"
        )
    return manifest


def _layers(manifest: Mapping[str, Any]) -> list[str]:
    return [str(layer["digest"]) for layer in manifest["layers"]]


def _scan(dossier: Dossier) -> Any:
    return newest_scan(dossier.valid(Kind.SCAN), dossier.artifact.digest)


def _files(
    before: list[str], after: list[str], old: ArtifactStore, new: ArtifactStore
) -> tuple[FileChange, ...]:
    """Layers that both have are read once; those that both begin with only where something on top depends on them."""
    known: dict[str, Layer] = {}

    def read(digests: list[str], store: ArtifactStore) -> list[Layer]:
        for digest in digests:
            if digest not in known:
                known[digest] = members(digest, store)
        return [known[digest] for digest in digests]

    common = shared(before, after)
    tops = read(before[common:], old), read(after[common:], new)
    below = [] if stands_alone(*tops) else read(before[:common], old)
    return file_changes(together([*below, *tops[0]]), together([*below, *tops[1]]))
