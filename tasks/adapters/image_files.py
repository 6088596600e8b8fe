"""Lists what a layer holds, with the digest of each file, without unpacking it: nothing is written."""

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from tasks.adapters.image_tree import OPAQUE, WHITEOUT, BlobStream
from tasks.contents import Layer, Member, MemberKind
from tasks.errors import CorruptError
from tasks.ports import ArtifactStore

PART_BYTES: Final = 1 << 20


def members(digest: str, store: ArtifactStore) -> Layer:
    """Every entry, in the layer's order. CorruptError if it is no tar (plain or gzip), or not what its digest says."""
    parts = store.stream(digest)
    try:
        with tarfile.open(fileobj=BlobStream(parts), mode="r|*") as tar:
            found = tuple(_listed(tar))
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise CorruptError(
            f"asked what the layer {digest} holds; it is no tar that can be read: {error}; layers may be plain or gzip"
        ) from error
    for _ in parts:  # what follows the archive counts for the digest, which is checked at the end
        pass
    return found


def _listed(tar: tarfile.TarFile) -> Iterator[Member]:
    for one in tar:
        path = _absolute(one.name)
        name, above = path.rpartition("/")[2], path.rpartition("/")[0]
        if path == "/":
            continue
        if name == OPAQUE:
            yield Member(above, MemberKind.OPAQUE)
        elif name.startswith(WHITEOUT):
            yield Member(f"{above}/{name.removeprefix(WHITEOUT)}", MemberKind.WHITEOUT)
        else:
            yield _member(tar, one, path)


def _member(tar: tarfile.TarFile, one: tarfile.TarInfo, path: str) -> Member:
    mode = one.mode & 0o7777
    if one.isdir():
        return Member(path, MemberKind.FOLDER, mode)
    if one.issym():
        return Member(path, MemberKind.LINK, target=one.linkname)
    if one.islnk():
        return Member(path, MemberKind.HARD_LINK, mode, target=_absolute(one.linkname))
    if one.isfile():
        return Member(path, MemberKind.FILE, mode, one.size, _digest(tar, one))
    return Member(path, MemberKind.OTHER, mode)


def _digest(tar: tarfile.TarFile, one: tarfile.TarInfo) -> str:
    content = tar.extractfile(one)
    assert content is not None, "a file has content"
    known = hashlib.sha256()
    while part := content.read(PART_BYTES):
        known.update(part)
    return f"sha256:{known.hexdigest()}"


def _absolute(name: str) -> str:
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", ".")]
    return f"/{'/'.join(parts)}"
