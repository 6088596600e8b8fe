"""What lies beside an artifact, read with bounds: which manifests are listed, which of their layers are evidence.

A size is believed only as a limit: what is larger than its descriptor says, or than anybody honest needs, is given up
before it fills the memory.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeVar

from tasks import oci
from tasks.adapters import cosign_bundle
from tasks.adapters.cosign_bundle import UnreadableError
from tasks.errors import CorruptError, TooLargeError
from tasks.model import Artifact
from tasks.ports import ArtifactStore, Descriptor

PIECE_BYTES_AT_MOST: Final = 64 * 1024 * 1024  # an SBOM of 100,000 packages has about 40 MB
READ_AGAIN_BYTES_AT_MOST: Final = 1024 * 1024
LISTED_AT_MOST: Final = 1000
LAYERS_AT_MOST: Final = 1000
AT_ONCE: Final = 8
One = TypeVar("One")
Other = TypeVar("Other")


class Where(Enum):
    """How somebody who looks for evidence of an artifact finds it."""

    SIGNATURE_TAG = "signature, .sig tag"
    REFERRER = "signature, bundle"
    ATTESTATION_TAG = "attestation, .att tag"


@dataclass(frozen=True)
class Listed:
    """A manifest that somebody has put beside the artifact. `size` 0: the list does not say."""

    where: Where
    digest: str
    size: int = 0


@dataclass(frozen=True)
class Piece:
    """A layer that may be evidence, as its manifest describes it."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, Any]

    def as_layer(self) -> dict[str, Any]:
        """As a manifest describes it."""
        return {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size,
            "annotations": dict(self.annotations),
        }


def listed(store: ArtifactStore, artifact: Artifact) -> list[Listed]:
    """Everything that is beside the artifact by one of cosign's ways. TransientError if the store does not answer.

    UnreadableError, CorruptError, TooLargeError if the list is nothing that can be used.
    """
    try:
        referrers, tagged = _asked(store, artifact.digest)
    except (KeyError, TypeError, AttributeError) as error:
        raise UnreadableError(f"the list of its evidence is none: {error!r}") from error
    if len(referrers) > LISTED_AT_MOST:
        raise TooLargeError(
            f"asked for the evidence of {artifact.reference}; {len(referrers)} manifests are listed as such, more than"
            f" {LISTED_AT_MOST}; find out who writes there"
        )
    found = [Listed(Where.REFERRER, one.digest, one.size) for one in referrers]
    return [*found, *(Listed(where, digest) for where, digest in tagged if digest)]


def _asked(
    store: ArtifactStore, digest: str
) -> tuple[tuple[Descriptor, ...], list[tuple[Where, str | None]]]:
    """The referrers, and where cosign 2's tags point: the tags meanwhile, for in a registry each answer takes its time."""
    tags = {
        Where.SIGNATURE_TAG: cosign_bundle.signature_tag(digest),
        Where.ATTESTATION_TAG: cosign_bundle.attestation_tag(digest),
    }
    with ThreadPoolExecutor(len(tags)) as pool:
        pointing = pool.map(store.resolve, tags.values())
        referrers = store.referrers(digest)
        return referrers, list(zip(tags, pointing, strict=True))


def at_once(do: Callable[[One], Other], items: Sequence[One]) -> list[Other]:
    """In order; several at a time, because stores answer slower than they are asked."""
    if len(items) < 2:
        return [do(one) for one in items]
    with ThreadPoolExecutor(min(AT_ONCE, len(items))) as pool:
        return list(pool.map(do, items))


def manifest(store: ArtifactStore, one: Listed) -> Mapping[str, Any]:
    """The listed manifest. UnreadableError if it is none; TooLargeError before it is fetched if the list says so."""
    if one.size > oci.MANIFEST_BYTES_AT_MOST:
        raise TooLargeError(
            f"asked for the manifest {one.digest}; its list says that it has {one.size} bytes, more than the"
            f" {oci.MANIFEST_BYTES_AT_MOST} a manifest may have"
        )
    return cosign_bundle.parsed(store.manifest(one.digest))


def pieces(found: Mapping[str, Any]) -> Iterator[Piece]:
    """The layers of a manifest that may be evidence. UnreadableError if it is not made as manifests are."""
    layers = found.get("layers", [])
    if not isinstance(layers, list) or len(layers) > LAYERS_AT_MOST:
        raise UnreadableError(f"its layers are no list of at most {LAYERS_AT_MOST}")
    for layer in layers:
        if not isinstance(layer, dict):
            raise UnreadableError("one of its layers is no descriptor")
        if cosign_bundle.is_evidence(layer.get("mediaType")):
            yield _piece(layer)


def _piece(layer: Mapping[str, Any]) -> Piece:
    digest, size = layer.get("digest"), layer.get("size")
    notes = layer.get("annotations") or {}
    if not isinstance(digest, str) or not oci.is_digest(digest):
        raise UnreadableError(f"one of its layers has the digest {digest!r}, which is none")
    if type(size) is not int or size < 0 or not isinstance(notes, dict):
        raise UnreadableError("one of its layers is no descriptor: size or annotations are wrong")
    return Piece(layer["mediaType"], digest, size, notes)


def is_there(store: ArtifactStore, piece: Piece) -> bool:
    """Is it there, and as it was? CorruptError, NotFoundError if not. A very large one is only asked for by its name."""
    if piece.size > READ_AGAIN_BYTES_AT_MOST:
        return store.has_blob(piece.digest)
    return len(content(store, piece)) == piece.size


def content(store: ArtifactStore, piece: Piece) -> bytes:
    """The piece's bytes, and never more of them than its descriptor says. TooLargeError, CorruptError, NotFoundError."""
    if piece.size > PIECE_BYTES_AT_MOST:
        raise TooLargeError(
            f"asked for {piece.digest}; its manifest says that it has {piece.size} bytes, more than the"
            f" {PIECE_BYTES_AT_MOST} that are read of one piece of evidence"
        )
    raw = bytearray()
    for part in store.stream(piece.digest):
        raw += part
        if len(raw) > piece.size:
            raise TooLargeError(
                f"asked for {piece.digest}; it has more than the {piece.size} bytes that its manifest says"
            )
    if len(raw) < piece.size:
        raise CorruptError(
            f"asked for {piece.digest}; it has {len(raw)} bytes, its manifest says {piece.size}"
        )
    return bytes(raw)
