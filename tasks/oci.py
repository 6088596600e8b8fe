"""The words of the OCI image format, as pure functions: what stores, bake and signatures write and read.

Spec: image-spec 1.1 (manifest, index, descriptor, subject) and distribution-spec 1.1 (referrers tag schema, tags).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from tasks.errors import InvalidInputError
from tasks.ports import Descriptor

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"
BYTES = "application/octet-stream"
REF_NAME = "org.opencontainers.image.ref.name"

# All four, always: without the Docker types a registry may convert an image and so change its digest.
MANIFEST_TYPES = (MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST)
INDEX_TYPES = (INDEX, DOCKER_LIST)
MANIFEST_BYTES_AT_MOST = 4 * 1024 * 1024  # what distribution-spec 1.1 asks registries to take

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_REFERRERS_TAG = re.compile(r"sha256-[0-9a-f]{64}")
_EVIDENCE_TAG = re.compile(r"sha256-(?P<hex>[0-9a-f]{64})(\.[a-z]+)?")
_MOVING_TAG = re.compile(rf"{_EVIDENCE_TAG.pattern}|k-[0-9a-f]+|[0-9]+|.+-promoted")
_EVIDENCE_SUFFIXES = (".sig", ".att", ".sbom")


def digest_of(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def canonical(value: object) -> bytes:
    """JSON of one spelling only: sorted keys, no spaces, ASCII; so equal values have equal digests."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


def hex_of(digest: str) -> str:
    """The 64 hex digits; refuses anything else, so that it is safe as a file name."""
    if not is_digest(digest):
        raise InvalidInputError(
            f"asked for {digest!r}, which is no digest; give `sha256:` and 64 lower-case hex digits"
        )
    return digest.removeprefix("sha256:")


def checked_tag(tag: str) -> str:
    if not _TAG.fullmatch(tag):
        raise InvalidInputError(
            f"asked for the tag {tag!r}, which the OCI specification does not allow; use at most 128 of "
            "A-Z a-z 0-9 . _ - and begin with a letter, digit or _"
        )
    return tag


def may_move(tag: str) -> bool:
    """Whether machines keep this tag: lists of evidence and signatures, what a bake finds its inputs by (`k-…`), the
    schema of a database (a number), what was last promoted of a service (`hello-promoted`). All others are for people: set once, they never stand for another digest."""
    return _MOVING_TAG.fullmatch(tag) is not None


def evidence_tags(digest: str) -> tuple[str, ...]:
    """Under which cosign 2 keeps signatures, attestations and bills of materials of a manifest."""
    return tuple(f"sha256-{hex_of(digest)}{suffix}" for suffix in _EVIDENCE_SUFFIXES)


def evidence_about(tag: str) -> str | None:
    """The digest whose evidence such a tag holds (the list of its referrers, too); None of any other tag."""
    found = _EVIDENCE_TAG.fullmatch(tag)
    return f"sha256:{found['hex']}" if found else None


def people_tags(tags: set[str]) -> tuple[str, ...]:
    """Tags without those that only hold lists of referrers."""
    return tuple(sorted(tag for tag in tags if not _REFERRERS_TAG.fullmatch(tag)))


def parsed(raw: bytes) -> dict[str, Any] | None:
    """A manifest or index as a mapping, or None if these bytes are neither."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):  # nested without end: nobody honest writes that
        return None
    if not isinstance(value, dict) or value.get("schemaVersion") != 2:
        return None
    return value if {"config", "layers", "manifests"} & value.keys() else None


def media_type(manifest: Mapping[str, Any]) -> str:
    """What it says it is, else what its shape says (`mediaType` is optional in OCI manifests)."""
    return manifest.get("mediaType") or (INDEX if "manifests" in manifest else MANIFEST)


def checked_manifest(raw: bytes) -> dict[str, Any]:
    """The manifest or index in these bytes, else InvalidInputError."""
    manifest = parsed(raw)
    if manifest is None:
        raise InvalidInputError(
            f"asked to store {raw[:60]!r} as a manifest; found neither an OCI or Docker manifest nor an index "
            "(JSON, schemaVersion 2, config and layers or manifests)"
        )
    if len(raw) > MANIFEST_BYTES_AT_MOST:
        raise InvalidInputError(
            f"asked to store a manifest of {len(raw)} bytes; registries take at most "
            f"{MANIFEST_BYTES_AT_MOST}: make it smaller"
        )
    return manifest


def needed(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Digests that must be in the store before the manifest: its config and layers, or its children."""
    parts = [manifest["config"]] if "config" in manifest else []
    parts += [*manifest.get("layers", ()), *manifest.get("manifests", ())]
    return tuple(part["digest"] for part in parts if not part.get("urls"))


def to_json(descriptor: Descriptor) -> dict[str, Any]:
    found: dict[str, Any] = {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    }
    if descriptor.artifact_type:
        found["artifactType"] = descriptor.artifact_type
    if descriptor.annotations:
        found["annotations"] = dict(descriptor.annotations)
    return found


def from_json(entry: Mapping[str, Any]) -> Descriptor:
    return Descriptor(
        media_type=entry.get("mediaType", ""),
        digest=entry["digest"],
        size=entry["size"],
        artifact_type=entry.get("artifactType", ""),
        annotations=tuple(sorted((entry.get("annotations") or {}).items())),
    )


def describe(raw: bytes, manifest: Mapping[str, Any]) -> Descriptor:
    """How a list of referrers shows this manifest: with its artifact type (else its config's type) and annotations."""
    config_type = (manifest.get("config") or {}).get("mediaType", "")
    return Descriptor(
        media_type=media_type(manifest),
        digest=digest_of(raw),
        size=len(raw),
        artifact_type=manifest.get("artifactType") or config_type,
        annotations=tuple(sorted((manifest.get("annotations") or {}).items())),
    )


def subject_of(manifest: Mapping[str, Any]) -> str | None:
    return (manifest.get("subject") or {}).get("digest")


def referrers_tag(digest: str) -> str:
    """Where registries without the referrers API keep the list (referrers tag schema)."""
    return f"sha256-{hex_of(digest)}"


def referrers_in(index: bytes | None) -> tuple[Descriptor, ...]:
    entries = (parsed(index) or {}).get("manifests") or () if index else ()
    return tuple(from_json(entry) for entry in entries)


def with_referrer(index: bytes | None, referrer: Descriptor) -> bytes | None:
    """The list of referrers with one more in it, or None if it is listed already."""
    listed = referrers_in(index)
    if any(entry.digest == referrer.digest for entry in listed):
        return None
    entries = [to_json(entry) for entry in (*listed, referrer)]
    return canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
