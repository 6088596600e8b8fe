"""Artifacts in a folder: an OCI image layout 1.1 that holds many images, tagged in its index.json.

Blobs are written beside their place, synced and renamed, so a reader, a crash or a full disk never sees half of one.
index.json changes under a lock (flock: also between processes on one machine; not on network disks without locks).
"""

import errno
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from tasks import oci
from tasks.adapters.file_lock import locked
from tasks.adapters.tags import for_people, refuse_to_move
from tasks.errors import CorruptError, InvalidInputError, NotFoundError, RefusedError
from tasks.ports import Descriptor

CHUNK = 1024 * 1024
ABANDONED_SECONDS = 24 * 3600.0


class LayoutStore:
    """One OCI image layout folder; it is made at the first write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.expanduser().absolute()

    @property
    def repository(self) -> str:
        return f"layout:{self._folder}"

    def resolve(self, tag: str) -> str | None:
        if oci.is_digest(tag):
            return tag if self._find_manifest(tag) is not None else None
        return self._tagged(oci.checked_tag(tag))

    def _tagged(self, tag: str) -> str | None:
        entries = (entry for entry in self._entries() if _tag(entry) == tag)
        return next((str(entry["digest"]) for entry in entries), None)

    def manifest(self, digest: str) -> bytes:
        raw = self._find_manifest(digest)
        if raw is None:
            raise self._missing("manifest", digest)
        return _checked(raw, digest, self._blob(digest))

    def put_manifest(self, raw: bytes, tag: str | None = None) -> str:
        manifest = oci.checked_manifest(raw)
        if tag is not None:
            oci.checked_tag(tag)
        self._refuse_incomplete(manifest)
        with self._writing(f"manifest {tag or ''}".strip()), self._locked():
            known = self._tagged(tag) if tag else None
            refuse_to_move(self.repository, tag, known, oci.digest_of(raw))
            digest = self._store(raw)
            self._list(_entry(raw, manifest), tag)
            if subject := oci.subject_of(manifest):
                self._refer(subject, oci.describe(raw, manifest))
        return digest

    def tag_once(self, digest: str, tag: str) -> str:
        return self.put_manifest(self.manifest(digest), for_people(tag))

    def has_blob(self, digest: str) -> bool:
        return self._blob(digest).is_file()

    def blob(self, digest: str) -> bytes:
        return b"".join(self.stream(digest))

    def stream(self, digest: str) -> Iterator[bytes]:
        with self._open(digest) as file:
            yield from _verified(file, digest, self._blob(digest))

    def put_blob(self, content: bytes | Path, mount_from: str | None = None) -> Descriptor:
        with self._writing(f"blob {content if isinstance(content, Path) else ''}".strip()):
            if isinstance(content, bytes):
                return Descriptor(oci.BYTES, self._store(content), len(content))
            return self._store_file(content)

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        listed = self.resolve(oci.referrers_tag(digest))
        return oci.referrers_in(self.manifest(listed)) if listed else ()

    def tags(self) -> tuple[str, ...]:
        return oci.people_tags({tag for entry in self._entries() if (tag := _tag(entry))})

    # ---- index.json ------------------------------------------------------------------------------

    def _entries(self) -> list[dict[str, Any]]:
        path = self._folder / "index.json"
        try:
            entries = json.loads(path.read_bytes())["manifests"]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptError(
                f"asked for the tags in {path}; found no OCI index ({error}); restore the folder from a backup"
            ) from error
        except OSError as error:
            raise self._unreadable(path, error) from error
        return list(entries)

    def _list(self, entry: dict[str, Any], tag: str | None) -> None:
        """Under the lock: one entry per tag, and one without a tag for a manifest that has none."""
        before = self._entries()
        listed = [known for known in before if known["digest"] == entry["digest"]]
        if any(tag is None or _tag(known) == tag for known in listed):
            return
        bare = [known for known in listed if _tag(known) is None]
        kept = [known for known in before if known not in bare and (not tag or _tag(known) != tag)]
        tagged = {"annotations": {oci.REF_NAME: tag}} if tag else {}
        self._write_index([*kept, {**entry, **tagged}])

    def _write_index(self, entries: list[dict[str, Any]]) -> None:
        index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": entries}
        self._place(oci.canonical({"imageLayoutVersion": "1.0.0"}), self._folder / "oci-layout")
        self._place(oci.canonical(index), self._folder / "index.json", replace=True)

    def _refer(self, subject: str, referrer: Descriptor) -> None:
        """Under the lock: the same list a registry without the referrers API would hold, so copies work both ways."""
        tag = oci.referrers_tag(subject)
        listed = self.resolve(tag)
        index = oci.with_referrer(self.manifest(listed) if listed else None, referrer)
        if index is not None:
            self._store(index)
            self._list(_entry(index, oci.checked_manifest(index)), tag)

    # ---- files -----------------------------------------------------------------------------------

    def _blob(self, digest: str) -> Path:
        return self._folder / "blobs" / "sha256" / oci.hex_of(digest)

    def _open(self, digest: str) -> BinaryIO:
        path = self._blob(digest)
        try:
            return path.open("rb")
        except FileNotFoundError as error:
            raise self._missing("blob", digest) from error
        except OSError as error:
            raise self._unreadable(path, error) from error

    def _find_manifest(self, digest: str) -> bytes | None:
        """The manifest's bytes as they are on disk, or None if there is none of that digest."""
        path = self._blob(digest)
        try:
            if path.stat().st_size > oci.MANIFEST_BYTES_AT_MOST:
                return None
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(path, error) from error
        corrupt = oci.digest_of(raw) != digest
        return raw if corrupt or oci.parsed(raw) is not None else None

    def _refuse_incomplete(self, manifest: dict[str, Any]) -> None:
        absent = [digest for digest in oci.needed(manifest) if not self.has_blob(digest)]
        if absent:
            raise NotFoundError(
                f"asked to store a manifest in {self.repository}; it names {', '.join(absent)}, which is not "
                "there; store what a manifest names before the manifest"
            )

    def _store(self, raw: bytes) -> str:
        digest = oci.digest_of(raw)
        self._place(raw, self._blob(digest))
        return digest

    def _place(self, raw: bytes, target: Path, replace: bool = False) -> None:
        if not replace and target.is_file() and target.stat().st_size == len(raw):
            return
        with self._incoming() as file:
            file.write(raw)
            _settle(file, target)

    def _store_file(self, content: Path) -> Descriptor:
        with content.open("rb") as source, self._incoming() as file:
            digest, size = _copy(source, file)
            target = self._blob(digest)
            if not (target.is_file() and target.stat().st_size == size):
                _settle(file, target)
        return Descriptor(oci.BYTES, digest, size)

    @contextmanager
    def _incoming(self) -> Iterator[BinaryIO]:
        """A file beside the blobs, on the same disk; gone afterwards unless it was renamed into place."""
        beside = self._folder / "incoming"
        beside.mkdir(parents=True, exist_ok=True)
        (self._folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=beside, delete=False) as file:
            try:
                yield cast(BinaryIO, file)
            finally:
                Path(file.name).unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with locked(self._folder / "lock"):
            self._sweep()
            yield

    def _sweep(self) -> None:
        """Forget what crashed writers left behind."""
        for path in (self._folder / "incoming").glob("*"):
            try:
                if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                    path.unlink()
            except FileNotFoundError:
                continue

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._unwritable(what, error) from error

    # ---- what people read ------------------------------------------------------------------------

    def _missing(self, kind: str, digest: str) -> NotFoundError:
        return NotFoundError(
            f"asked for the {kind} {digest} in {self.repository}; it is not there; "
            "bake it again, or copy it there from where it was baked"
        )

    def _unreadable(self, path: Path, error: OSError) -> RefusedError:
        return RefusedError(
            f"asked to read {path}; found {error.strerror or error}; check who may read it"
        )

    def _unwritable(self, what: str, error: OSError) -> RefusedError:
        name = error.filename or self._folder
        if error.errno == errno.ENOENT and error.filename is not None:
            return InvalidInputError(
                f"asked to store {what}; {name} does not exist; check the path"
            )
        advice = "check the disk and who may write there"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = "free some space (or raise the limit), then run it again"
        return RefusedError(
            f"asked to store a {what} in {self.repository}; found {error.strerror or error} ({name}); "
            f"what was stored before is intact; {advice}"
        )


def _entry(raw: bytes, manifest: dict[str, Any]) -> dict[str, Any]:
    entry = {
        "mediaType": oci.media_type(manifest),
        "digest": oci.digest_of(raw),
        "size": len(raw),
    }
    if artifact_type := manifest.get("artifactType"):
        entry["artifactType"] = artifact_type
    return entry


def _tag(entry: dict[str, Any]) -> str | None:
    found = (entry.get("annotations") or {}).get(oci.REF_NAME)
    return str(found) if found else None


def _copy(source: BinaryIO, target: BinaryIO) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while part := source.read(CHUNK):
        digest.update(part)
        target.write(part)
        size += len(part)
    return f"sha256:{digest.hexdigest()}", size


def _settle(file: BinaryIO, target: Path) -> None:
    """Make the bytes durable, then visible, then make the name durable."""
    file.flush()
    os.fsync(file.fileno())
    os.fchmod(file.fileno(), 0o644)
    os.replace(file.name, target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _verified(file: BinaryIO, digest: str, path: Path) -> Iterator[bytes]:
    found = hashlib.sha256()
    while part := file.read(CHUNK):
        found.update(part)
        yield part
    if (actual := f"sha256:{found.hexdigest()}") != digest:
        raise _corrupt(digest, actual, path)


def _checked(raw: bytes, digest: str, path: Path) -> bytes:
    if (actual := oci.digest_of(raw)) != digest:
        raise _corrupt(digest, actual, path)
    return raw


def _corrupt(digest: str, actual: str, path: Path) -> CorruptError:
    return CorruptError(
        f"asked for {digest} in {path}; found bytes whose digest is {actual}: somebody changed them or the disk "
        "is broken; delete the file and bake or copy it again"
    )
