"""Copies an artifact with all its evidence from one store to another. May be killed anywhere and done again."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tasks import oci
from tasks.adapters.bring import bring_blob
from tasks.adapters.tags import refuse_to_move
from tasks.errors import RefusedError, TagConflictError
from tasks.mirror.survey import Belongings, Piece, survey
from tasks.ports import ArtifactStore

AT_ONCE: Final = 4
WORTH_TELLING_BYTES: Final = 1_000_000

Say = Callable[[str], None]


@dataclass(frozen=True)
class Copied:
    """What a copy wrote, and what it found there already. `tags` are those people may read it by."""

    manifests: int
    blobs: int
    blob_bytes: int
    there_already: int
    tags: tuple[str, ...]


def copy_artifact(
    source: ArtifactStore, target: ArtifactStore, digest: str, work: Path, say: Say
) -> Copied:
    """Blobs, then evidence, then the artifact, then its names; so what a killed copy leaves is found by nobody.

    `work`: a folder for blobs on their way. TagConflictError before anything is written if a name is taken there.
    """
    found = survey(source, digest)
    _refuse_conflicts(found, target)
    brought = _bring_blobs(found, source, target, work, say)
    written = [piece for piece in found.manifests if _bring_manifest(piece, target)]
    for piece in found.manifests:
        target.manifest(piece.digest)  # read back, and so checked against its digest
    for tag in found.tags:
        target.tag_once(digest, tag)
    total = len(found.manifests) + len(found.blobs)
    there = total - len(written) - len(brought)
    size = sum(found.blobs[one] for one in brought)
    return Copied(len(written), len(brought), size, there, found.tags)


def _bring_blobs(
    found: Belongings, source: ArtifactStore, target: ArtifactStore, work: Path, say: Say
) -> list[str]:
    """Digests of those that were not there."""
    brought: list[str] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = {
            pool.submit(bring_blob, one, source, target, work): (one, size)
            for one, size in found.blobs.items()
        }
        try:
            for done, future in enumerate(as_completed(asked), start=1):
                one, size = asked[future]
                if not future.result():
                    continue
                brought.append(one)
                if size >= WORTH_TELLING_BYTES:
                    say(f"blob {done} of {len(asked)}: {one[7:19]}, {size / 1e6:.1f} MB")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return brought


def _bring_manifest(piece: Piece, target: ArtifactStore) -> bool:
    """False if there was nothing to do. A referrer is put again: a killed copy may have left it unlisted."""
    manifest = oci.checked_manifest(piece.raw)
    there = target.resolve(piece.digest) is not None
    if not there or oci.subject_of(manifest):
        target.put_manifest(piece.raw)
    for tag in piece.tags:
        if target.resolve(tag) != piece.digest:
            target.put_manifest(piece.raw, tag)
    return not there


# ---- what must not be overwritten ----------------------------------------------------------------


def _refuse_conflicts(found: Belongings, target: ArtifactStore) -> None:
    for tag in found.tags:
        refuse_to_move(target.repository, tag, target.resolve(tag), found.digest)
    for piece in found.manifests:
        for tag in piece.tags:
            _refuse_to_lose_signatures(piece, tag, target)


def _refuse_to_lose_signatures(piece: Piece, tag: str, target: ArtifactStore) -> None:
    """Cosign's tags hold lists: one may be replaced by a longer one, but not by one that lacks some of its entries."""
    known = target.resolve(tag)
    if known in (None, piece.digest):
        return
    there, ours = _entries(target.manifest(str(known))), _entries(piece.raw)
    if any(entry not in ours for entry in there):
        raise TagConflictError(
            f"asked to copy {tag} to {target.repository} ({piece.digest}); the one that is there ({known}) holds"
            " signatures that the original lacks; copy them back first (`bakewell mirror` the other way round), or"
            " delete that tag"
        )


def _entries(raw: bytes) -> list[Any]:
    layers = oci.checked_manifest(raw).get("layers", [])
    if not isinstance(layers, list):
        raise RefusedError(f"asked for the layers of {oci.digest_of(raw)}; they are no list")
    return layers
