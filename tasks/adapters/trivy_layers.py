"""What an image says of its layers, and why Trivy may believe it.

Trivy reads the layers that the configuration names (`rootfs.diff_ids`), takes what they are called for what they are, and
remembers what it saw by that name alone. An image could hide a layer by not naming it, by naming two alike, or by giving
one the name of a clean layer that was seen before. So: as many names as layers, no two layers of one name, and what is
remembered counts only for the very bytes (the blob's digest) it was learnt of.
"""

import gzip
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any, Final

from tasks import oci
from tasks.adapters import trivy_workers
from tasks.errors import RefusedError
from tasks.model import Artifact
from tasks.ports import ArtifactStore

GZIP: Final = b"\x1f\x8b"
PART: Final = 1024 * 1024
Names = dict[str, str]


def named(store: ArtifactStore, artifact: Artifact) -> Names:
    """For each layer's name (diff_id) the digest of its blob. RefusedError if the image hides one from its scanner."""
    manifest = oci.parsed(store.manifest(artifact.digest)) or {}
    if "layers" not in manifest:
        raise RefusedError(
            f"asked to scan {artifact.short}; it is no single image but a list of them: scan one of its digests"
        )
    blobs = [str(one["digest"]) for one in manifest["layers"]]
    config: dict[str, Any] = json.loads(store.blob(manifest["config"]["digest"]))
    names = [str(one) for one in (config.get("rootfs") or {}).get("diff_ids") or ()]
    if len(names) != len(blobs):
        raise RefusedError(
            f"asked to scan {artifact.short}; it has {len(blobs)} layers and names {len(names)}: what is not named is not"
            " looked at; do not use it, and find out who made it"
        )
    found = dict(zip(names, blobs, strict=True))
    if len(found) != len(set(zip(names, blobs, strict=True))):
        raise RefusedError(
            f"asked to scan {artifact.short}; different layers have the same name: only one of them would be looked at; do"
            " not use it, and find out who made it"
        )
    return found


def may_remember(worker: Path, names: Names) -> bool:
    """Notes new names for good. False if one of them was other bytes when it was seen first: then look at all anew.

    The note lies in the memory itself: without it, nobody knows of which bytes that was learnt, so it is thrown away.
    """
    path = worker / "fanal" / "named.json"
    seen = _read(path)
    if seen is None:
        trivy_workers.forget(worker)
    elif any(seen.get(name, blob) != blob for name, blob in names.items()):
        return False
    _write(path, {**(seen or {}), **names})
    return True


def verify(store: ArtifactStore, artifact: Artifact, worker: Path, names: Names) -> None:
    """Each layer is what it is called: read and hashed, once for each. For a memory that others share.

    RefusedError if one is not.
    """
    path = worker / "verified.json"
    verified = _read(path) or {}
    for name, blob in names.items():
        if verified.get(name) != blob and _name_of(store, blob) != name:
            raise RefusedError(
                f"asked to scan {artifact.short}; its layer {blob} is not what its configuration calls it ({name}), or is"
                " packed neither plain nor by gzip; do not use it, and find out who made it"
            )
    _write(path, {**verified, **names})


def _name_of(store: ArtifactStore, blob: str) -> str:
    """The digest of what comes out of the blob."""
    with tempfile.TemporaryFile() as file:
        for part in store.stream(blob):
            file.write(part)
        file.seek(0)
        is_packed = file.read(len(GZIP)) == GZIP
        file.seek(0)
        plain = gzip.GzipFile(fileobj=file) if is_packed else file
        found = hashlib.sha256()
        while part := plain.read(PART):
            found.update(part)
    return f"sha256:{found.hexdigest()}"


def _read(path: Path) -> Names | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write(path: Path, names: Names) -> None:
    path.parent.mkdir(exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(names, sort_keys=True))
    beside.replace(path)
