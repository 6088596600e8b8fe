"""An OCI repository in memory: for tests and dry runs. Behaves as a registry does, down to refusing corrupt bytes."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tasks import oci
from tasks.adapters.tags import for_people, refuse_to_move
from tasks.errors import CorruptError, InvalidInputError, NotFoundError
from tasks.ports import Descriptor

TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
PART_BYTES: Final = 1 << 16


class MemoryStore:
    """One repository. `store_named` keeps one for each name, so that separate calls meet the same content."""

    def __init__(self, repository: str) -> None:
        self._repository = repository
        self._manifests: dict[str, bytes] = {}
        self._blobs: dict[str, bytes] = {}
        self._tags: dict[str, str] = {}
        self._referrers: dict[str, dict[str, Descriptor]] = {}

    @property
    def repository(self) -> str:
        return self._repository

    def resolve(self, tag: str) -> str | None:
        digest = self._tags.get(tag, tag)
        return digest if digest in self._manifests else None

    def manifest(self, digest: str) -> bytes:
        return self._checked("manifest", digest, self._manifests)

    def put_manifest(self, raw: bytes, tag: str | None = None) -> str:
        manifest = _parsed(raw)
        if tag is not None and not TAG.fullmatch(tag):
            raise InvalidInputError(
                f"{tag!r} cannot be a tag: use letters, digits, `.`, `_` and `-`, at most 128"
            )
        digest = sha256(raw)
        if tag is not None and not oci.may_move(tag):
            known = self._tags.setdefault(tag, digest)  # one step: of many threads one wins
            refuse_to_move(self._repository, tag, known, digest)
        self._manifests[digest] = raw
        if subject := (manifest.get("subject") or {}).get("digest"):
            self._referrers.setdefault(subject, {})[digest] = _descriptor(raw, manifest)
        if tag is not None:
            self._tags[tag] = digest
        return digest

    def tag_once(self, digest: str, tag: str) -> str:
        return self.put_manifest(self.manifest(digest), for_people(tag))

    def has_blob(self, digest: str) -> bool:
        return digest in self._blobs

    def blob(self, digest: str) -> bytes:
        return self._checked("blob", digest, self._blobs)

    def stream(self, digest: str) -> Iterator[bytes]:
        content = self._found("blob", digest, self._blobs)
        for start in range(0, len(content), PART_BYTES):
            yield content[start : start + PART_BYTES]
        self._checked("blob", digest, self._blobs)

    def put_blob(self, content: bytes | Path, mount_from: str | None = None) -> Descriptor:
        """Mounting saves nothing in memory: the content is here already. `mount_from` is accepted and not needed."""
        data = content if isinstance(content, bytes) else content.read_bytes()
        digest = sha256(data)
        self._blobs.setdefault(digest, data)
        return Descriptor("application/octet-stream", digest, len(data))

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        return tuple(self._referrers.get(digest, {}).values())

    def tags(self) -> tuple[str, ...]:
        return tuple(sorted(self._tags))

    def tamper(self, digest: str, content: bytes) -> None:
        """For tests: put other bytes behind a digest, as a broken disk or an intruder would."""
        (self._manifests if digest in self._manifests else self._blobs)[digest] = content

    def _checked(self, kind: str, digest: str, shelf: dict[str, bytes]) -> bytes:
        content = self._found(kind, digest, shelf)
        if (found := sha256(content)) != digest:
            raise CorruptError(
                f"{kind} {digest} of {self._repository} was asked for, its bytes have the digest"
                f" {found}; do not use them, bake again"
            )
        return content

    def _found(self, kind: str, digest: str, shelf: dict[str, bytes]) -> bytes:
        if digest not in shelf:
            raise NotFoundError(
                f"{kind} {digest} is not in {self._repository}; was it pushed there?"
            )
        return shelf[digest]


STORES: Final[dict[str, MemoryStore]] = {}


def store_named(repository: str) -> MemoryStore:
    """The store of that name in this process, made when it is first asked for."""
    return STORES.setdefault(repository, MemoryStore(repository))


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(raw)
    except ValueError as error:
        raise InvalidInputError(f"a manifest must be JSON, found {raw[:40]!r}") from error
    if not isinstance(manifest, dict):
        raise InvalidInputError(f"a manifest must be a JSON object, found {raw[:40]!r}")
    return manifest


def _descriptor(raw: bytes, manifest: dict[str, Any]) -> Descriptor:
    """As the referrers API lists it: without an `artifactType`, the configuration's media type counts as one."""
    kind = manifest.get("artifactType") or (manifest.get("config") or {}).get("mediaType") or ""
    notes = tuple(sorted((manifest.get("annotations") or {}).items()))
    return Descriptor(str(manifest.get("mediaType") or ""), sha256(raw), len(raw), kind, notes)
