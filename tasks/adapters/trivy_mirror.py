"""Copies the published vulnerability database to a registry of one's own, as it is: the same bytes, the same digest.

Its form (https://github.com/aquasecurity/trivy-db, OCI artifact): one layer, a compressed tar with trivy.db and
metadata.json. Nobody signs it; what can be proved is that it is what its digest says, and how old it says it is. So the
tag is moved only to something newer, once all of it is there and was read back.
"""

import json
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tasks import oci
from tasks.adapters.trivy_database import SCHEMA, SKEW_HOURS
from tasks.errors import (
    CorruptError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    TransientError,
)
from tasks.ports import ArtifactStore

CONFIG: Final = "application/vnd.aquasec.trivy.config.v1+json"
LAYER: Final = "application/vnd.aquasec.trivy.db.layer.v1.tar+gzip"
TAG: Final = str(SCHEMA)
METADATA_AT_MOST_BYTES: Final = 64 * 1024
LAYER_AT_MOST_BYTES: Final = 2 * 1024**3  # today's has about 80 MB
Say = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """Where a database is published: one repository, and a tag or digest in it."""

    store: ArtifactStore
    tag: str

    @property
    def name(self) -> str:
        return f"{self.store.repository}{'@' if oci.is_digest(self.tag) else ':'}{self.tag}"


@dataclass(frozen=True)
class Published:
    """A database as it is published. `updated_at` is what its metadata says."""

    digest: str
    updated_at: datetime
    size_bytes: int


@dataclass(frozen=True)
class Mirrored:
    """What is in the mirror now. `moved`: it was not before."""

    published: Published
    moved: bool


def mirror(source: Place, to: Place, now: datetime, say: Say = lambda _: None) -> Mirrored:
    """Copy it unless it is there already. NotFoundError if the source has none, InvalidInputError if that is no database.

    RefusedError if the mirror has a newer one; CorruptError if bytes are not what their digest says.
    """
    digest = source.store.resolve(source.tag)
    if digest is None:
        raise NotFoundError(
            f"asked for the vulnerability database {source.name}; there is none; check the name"
        )
    with tempfile.TemporaryDirectory(prefix="bakewell-trivy-") as folder:
        say(f"reading {source.name} ({digest})")
        found = _read(source, digest, Path(folder), now)
        there = to.store.resolve(to.tag)
        if there == digest and _is_whole(to, digest):
            return Mirrored(found, moved=False)
        if there and there != digest:
            _check_newer(found, source, to, there, Path(folder), now)
        say(f"writing {to.name}, {found.size_bytes / 1e6:.1f} MB")
        _copy(source, to, digest, Path(folder))
    return Mirrored(found, moved=True)


def _read(place: Place, digest: str, folder: Path, now: datetime) -> Published:
    """Its layer as a file in `folder`, checked against its digest, and what its metadata says."""
    layer = _layer(place, digest)
    path = folder / oci.hex_of(layer["digest"])
    size = 0
    with path.open("wb") as file:
        for part in place.store.stream(layer["digest"]):
            size += len(part)
            if size > LAYER_AT_MOST_BYTES:
                raise InvalidInputError(
                    f"asked for the vulnerability database {place.name}; it has more than {LAYER_AT_MOST_BYTES} bytes"
                )
            file.write(part)
    return Published(digest, _updated_at(place, path, now), size)


def _layer(place: Place, digest: str) -> dict[str, Any]:
    manifest = oci.parsed(place.store.manifest(digest)) or {}
    layers = manifest.get("layers") or []
    types = [(manifest.get("config") or {}).get("mediaType"), *(one["mediaType"] for one in layers)]
    if types != [CONFIG, LAYER]:
        raise InvalidInputError(
            f"asked for the vulnerability database {place.name}; found something else ({types}); check the name"
        )
    layer: dict[str, Any] = layers[0]
    return layer


def _updated_at(place: Place, layer: Path, now: datetime) -> datetime:
    try:
        metadata = _metadata(layer)
        updated_at = datetime.fromisoformat(f"{metadata['UpdatedAt'][:19]}+00:00")
        version = metadata["Version"]
    except (
        OSError,
        tarfile.TarError,
        zlib.error,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
    ) as error:
        raise InvalidInputError(
            f"asked for the vulnerability database {place.name}; what it holds is none ({error!r})"
        ) from error
    if version != SCHEMA:
        raise InvalidInputError(
            f"asked for the vulnerability database {place.name}; it has schema {version}, our Trivy reads {SCHEMA}"
        )
    if (updated_at - now).total_seconds() / 3600 > SKEW_HOURS:
        raise InvalidInputError(
            f"asked for the vulnerability database {place.name}; it is of {updated_at:%Y-%m-%d %H:%M} UTC, which is to"
            " come; is this machine's clock right?"
        )
    return updated_at


def _metadata(layer: Path) -> dict[str, Any]:
    """Read through, not unpacked: the database has several hundred MB."""
    sizes, metadata = dict[str, int](), b"{}"
    with tarfile.open(layer, "r|gz") as archive:
        for member in archive:
            sizes[member.name] = member.size
            file = archive.extractfile(member) if member.name == "metadata.json" else None
            metadata = file.read(METADATA_AT_MOST_BYTES) if file else metadata
    if not sizes.get("trivy.db"):
        raise ValueError("there is no trivy.db in it")
    found: dict[str, Any] = json.loads(metadata)
    return found


def _check_newer(
    found: Published, source: Place, to: Place, there: str, folder: Path, now: datetime
) -> None:
    """What is broken in the mirror may be replaced; what is something else is somebody's, and may not."""
    try:
        known = _read(Place(to.store, there), there, folder, now)
    except (CorruptError, NotFoundError):
        return
    if known.updated_at > found.updated_at:
        raise RefusedError(
            f"asked to copy {source.name} to {to.name}; it is of {found.updated_at:%Y-%m-%d %H:%M} UTC, the mirror's is"
            f" newer, of {known.updated_at:%Y-%m-%d %H:%M} UTC: it stays. Name a source that is newer by --from"
        )


def _is_whole(place: Place, digest: str) -> bool:
    """Is all of it there, and what its digest says?"""
    try:
        manifest = oci.checked_manifest(place.store.manifest(digest))
        for part in oci.needed(manifest):
            for _ in place.store.stream(part):
                pass
    except (CorruptError, NotFoundError):
        return False
    return True


def _copy(source: Place, to: Place, digest: str, folder: Path) -> None:
    raw = source.store.manifest(digest)
    manifest = oci.checked_manifest(raw)
    to.store.put_blob(source.store.blob(manifest["config"]["digest"]))
    to.store.put_blob(folder / oci.hex_of(manifest["layers"][0]["digest"]))
    to.store.put_manifest(raw)
    if not _is_whole(to, digest):
        raise TransientError(
            f"asked to copy {source.name} to {to.name}; what was written cannot be read back; the tag was not moved; try"
            " again, and see whether the registry's disk is in order"
        )
    to.store.put_manifest(raw, to.tag)
