"""What belongs to an artifact: its manifests and blobs, everything that vouches for it, and its names. Reads only."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tasks import oci
from tasks.errors import CorruptError, NotFoundError, RefusedError
from tasks.ports import ArtifactStore

DEEPEST: Final = 12
"""Evidence of evidence of …: nobody honest nests more than two or three."""
MANIFESTS_AT_MOST: Final = 10_000


@dataclass(frozen=True)
class Piece:
    """A manifest or index. `tags` are those of machines that lead to it (`.sig`, `.att`, `.sbom`)."""

    digest: str
    raw: bytes
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Belongings:
    """All of an artifact, `manifests` in the order in which a copy must get them: children before what lists them, and
    evidence before what it vouches for, so that an artifact that can be found has all its evidence.

    `blobs`: digest -> bytes. `tags` are people's, of the artifact itself.
    """

    digest: str
    manifests: tuple[Piece, ...]
    blobs: Mapping[str, int]
    tags: tuple[str, ...]


def survey(store: ArtifactStore, digest: str) -> Belongings:
    """NotFoundError or CorruptError if the artifact is not whole; RefusedError if some of its evidence is not: a copy
    without it would look better than the original."""
    found = _Survey(store)
    found.visit(digest, 0)
    pieces = [Piece(one, raw, tuple(found.tags.get(one, ()))) for one, raw in found.raw.items()]
    names = [tag for tag in store.tags() if not oci.may_move(tag)]
    ours = tuple(tag for tag in names if store.resolve(tag) == digest)
    return Belongings(digest, tuple(pieces), found.blobs, ours)


@dataclass
class _Survey:
    store: ArtifactStore
    raw: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, list[str]] = field(default_factory=dict)
    blobs: dict[str, int] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def visit(self, digest: str, depth: int) -> None:
        if digest in self.seen:
            return
        self.seen.add(digest)
        if depth > DEEPEST or len(self.seen) > MANIFESTS_AT_MOST:
            raise RefusedError(
                f"asked for all that belongs together in {self.store.repository}; found evidence nested more than"
                f" {DEEPEST} deep, or more than {MANIFESTS_AT_MOST} manifests (at {digest}); find out who writes there"
            )
        raw = self.store.manifest(digest)
        children, blobs = _parts(digest, raw)
        for child in children:
            self.visit(child, depth + 1)
        self._visit_evidence(digest, depth)
        self.blobs.update(blobs)
        self.raw[digest] = raw

    def _visit_evidence(self, digest: str, depth: int) -> None:
        for one in self._evidence(digest):
            try:
                self.visit(one, depth + 1)
            except (NotFoundError, CorruptError) as error:
                raise RefusedError(
                    f"asked to copy {digest} of {self.store.repository} with its evidence; {one} is listed as such and"
                    f" cannot be had ({error}); a copy without it would look better than the original: restore it, or"
                    " attest anew"
                ) from error

    def _evidence(self, digest: str) -> Iterator[str]:
        for referrer in self.store.referrers(digest):
            yield referrer.digest
        for tag in oci.evidence_tags(digest):
            if known := self.store.resolve(tag):
                self.tags.setdefault(known, []).append(tag)
                yield known


def _parts(digest: str, raw: bytes) -> tuple[list[str], dict[str, int]]:
    """Its children, and its blobs with their sizes."""
    manifest = oci.checked_manifest(raw)
    try:
        return [child["digest"] for child in manifest.get("manifests", ())], dict(_blobs(manifest))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RefusedError(
            f"asked what belongs to {digest}; its manifest is not as the OCI specification has it ({error!r}); find out"
            " who wrote it"
        ) from error


def _blobs(manifest: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    parts = [manifest["config"]] if "config" in manifest else []
    for part in (*parts, *manifest.get("layers", ())):
        if not part.get(
            "urls"
        ):  # such layers are fetched from elsewhere, by whoever runs the image
            yield part["digest"], int(part.get("size", 0))
