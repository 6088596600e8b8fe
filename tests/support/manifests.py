"""Small images, and what vouches for them, made on the spot in any store."""

import os

from tasks import oci
from tasks.ports import ArtifactStore


def image(store: ArtifactStore, word: str = "hello") -> bytes:
    """Store what a small image needs; its manifest, not yet stored."""
    config = store.put_blob(oci.canonical({"word": word, "nonce": os.urandom(8).hex()}))
    layer = store.put_blob(word.encode() * 1000)
    return oci.canonical(
        {
            "schemaVersion": 2,
            "mediaType": oci.MANIFEST,
            "config": {**oci.to_json(config), "mediaType": oci.CONFIG},
            "layers": [{**oci.to_json(layer), "mediaType": oci.LAYER}],
        }
    )


def evidence(store: ArtifactStore, subject: bytes, kind: str) -> bytes:
    empty = store.put_blob(b"{}")
    return oci.canonical(
        {
            "schemaVersion": 2,
            "mediaType": oci.MANIFEST,
            "artifactType": kind,
            "config": {**oci.to_json(empty), "mediaType": oci.EMPTY},
            "layers": [{**oci.to_json(empty), "mediaType": oci.EMPTY}],
            "subject": {
                "mediaType": oci.MANIFEST,
                "digest": oci.digest_of(subject),
                "size": len(subject),
            },
            "annotations": {"kind": kind},
        }
    )


def index(store: ArtifactStore, *children: bytes) -> bytes:
    """Store the children; an index of them, not yet stored."""
    for child in children:
        store.put_manifest(child)
    entries = [oci.to_json(oci.describe(raw, oci.checked_manifest(raw))) for raw in children]
    return oci.canonical({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": entries})
