"""An image unpacked into a folder that nobody changes: `<trees>/<hex of the digest>`, made once, whole or not at all.

Layers are applied as the OCI image specification says (whiteouts, opaque folders). Nothing leaves the folder: members
outside it, links that lead out of it and device files are refused.
"""

import contextlib
import io
import json
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

from tasks import oci
from tasks.adapters.file_lock import locked
from tasks.errors import CorruptError, RefusedError
from tasks.model import Artifact
from tasks.ports import ArtifactStore

WHITEOUT: Final = ".wh."
OPAQUE: Final = ".wh..wh..opq"


def configuration(artifact: Artifact, store: ArtifactStore) -> dict[str, Any]:
    """The image's configuration. CorruptError if its bytes are not its digest's; RefusedError if it is an index."""
    config: dict[str, Any] = json.loads(store.blob(_manifest(artifact, store)["config"]["digest"]))
    return config


def unpacked(artifact: Artifact, store: ArtifactStore, trees: Path) -> Path:
    """The folder with the image's files, read-only. Fetched and unpacked if this machine has not seen it yet."""
    tree = trees / oci.hex_of(artifact.digest)
    if tree.is_dir():
        return tree
    try:
        with locked(trees / ".lock"):
            if not tree.is_dir():
                _make(artifact, store, tree)
    except OSError as error:
        raise RefusedError(
            f"asked to unpack {artifact.short} ({_packed_bytes(artifact, store)} bytes packed) into {trees}; found"
            f" {error.strerror or error}, {_free_bytes(trees)} bytes free; nothing was started and nothing is left:"
            " check the disk and who may write there"
        ) from error
    return tree


def _make(artifact: Artifact, store: ArtifactStore, tree: Path) -> None:
    _sweep(tree.parent)
    work = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=tree.parent))
    try:
        for layer in _manifest(artifact, store)["layers"]:
            _apply(layer, store, work)
        _refuse_escapes(work)
        _protect(work)
        work.rename(tree)
    except BaseException:
        _remove(work)
        raise


def _manifest(artifact: Artifact, store: ArtifactStore) -> dict[str, Any]:
    manifest = oci.checked_manifest(store.manifest(artifact.digest))
    if "layers" not in manifest:
        raise RefusedError(
            f"asked to run {artifact.reference}; it is an index of several images; name the digest of one of them"
        )
    return manifest


def _packed_bytes(artifact: Artifact, store: ArtifactStore) -> int:
    return sum(int(layer.get("size", 0)) for layer in _manifest(artifact, store)["layers"])


def _free_bytes(trees: Path) -> int:
    there = next(folder for folder in (trees, *trees.parents) if folder.is_dir())
    return shutil.disk_usage(there).free


def _apply(layer: dict[str, Any], store: ArtifactStore, tree: Path) -> None:
    parts = store.stream(layer["digest"])
    try:
        with tarfile.open(fileobj=BlobStream(parts), mode="r|*") as tar:
            _extract(tar, tree)
    except (tarfile.TarError, EOFError, ValueError) as error:  # ValueError: names no system has
        raise CorruptError(
            f"asked to unpack the layer {layer['digest']} ({layer.get('mediaType')}); it is no tar that can be read:"
            f" {error}; layers may be plain or gzip"
        ) from error
    for _ in parts:  # what follows the archive counts for the digest, which is checked at the end
        pass


def _extract(tar: tarfile.TarFile, tree: Path) -> None:
    ours: set[str] = set()
    for member in tar:
        path = _inside(tree, member.name)
        if path.name == OPAQUE:
            _empty(path.parent, ours, tree)
        elif path.name.startswith(WHITEOUT):
            _remove(_hidden(path))
        elif path != tree:
            _place(tar, member, path, tree)
            ours.add(str(path))


def _place(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, tree: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not (member.isdir() and path.is_dir() and not path.is_symlink()):
        _remove(path)
    if member.isdir():
        path.mkdir(exist_ok=True)
    elif member.issym():
        path.symlink_to(_target(member, path, tree))
    elif member.islnk():
        os.link(_inside(tree, member.linkname), path, follow_symlinks=False)
    elif member.isfile():
        source = tar.extractfile(member)
        assert source is not None, "a file has content"
        with path.open("xb") as target:
            shutil.copyfileobj(source, target)
        path.chmod(0o755 if member.mode & stat.S_IXUSR else 0o644)
    else:
        raise RefusedError(
            f"asked to unpack {member.name!r}; it is a device or pipe, which no process here gets;"
            " run this image on a platform with containers"
        )


def _inside(tree: Path, name: str) -> Path:
    """Where a member goes. Its folders may be links, but not out of the tree."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", ".")]
    path = tree.joinpath(*parts)
    if ".." in parts or not Path(os.path.realpath(path.parent)).is_relative_to(tree.resolve()):
        raise RefusedError(f"asked to unpack {name!r}; it leads out of the image; do not run it")
    return path


def _hidden(whiteout: Path) -> Path:
    """What a whiteout hides. `.wh...` would hide `..`, which is everything beside the image."""
    name = whiteout.name.removeprefix(WHITEOUT)
    if name in ("", ".", ".."):
        raise RefusedError(
            f"asked to unpack the whiteout {whiteout.name!r}; it hides no file of the image; do not run it"
        )
    return whiteout.with_name(name)


def _target(member: tarfile.TarInfo, path: Path, tree: Path) -> str:
    """What the link says, as seen from the image's own root."""
    wanted = PurePosixPath(member.linkname)
    if wanted.is_absolute():
        inside = tree.joinpath(*wanted.parts[1:])
        wanted = PurePosixPath(os.path.relpath(inside, path.parent))
    seen = Path(os.path.normpath(path.parent / wanted))
    if not seen.is_relative_to(tree):
        raise RefusedError(
            f"asked to unpack the link {member.name!r} to {member.linkname!r}; it leads out of the image; do not run it"
        )
    return str(wanted)


def _empty(folder: Path, ours: set[str], tree: Path) -> None:
    """An opaque folder hides what lower layers put there, not what this one does."""
    if folder.is_dir() and folder.is_relative_to(tree):
        for child in folder.iterdir():
            if str(child) not in ours:
                _remove(child)


def _refuse_escapes(tree: Path) -> None:
    """Links are followed as the kernel will: one that is harmless by its text may lead out through another one."""
    root = tree.resolve()
    for folder, folders, files in os.walk(tree):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
                raise RefusedError(
                    f"asked to unpack the link {str(path.relative_to(tree))!r}; by way of other links it leads out of"
                    " the image; do not run it"
                )


def _protect(tree: Path) -> None:
    """Nothing that runs is ever modified; not even by itself."""
    for folder, _, files in os.walk(tree, topdown=False):
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & 0o555)
        Path(folder).chmod(0o555)


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for folder, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            Path(folder).chmod(0o755)
    shutil.rmtree(path, ignore_errors=True)


def _sweep(trees: Path) -> None:
    """What killed unpackers left. Under the lock, so nobody is working there now."""
    for left in trees.glob(".unpacking-*"):
        _remove(left)


class BlobStream(io.RawIOBase):
    """Parts of a blob as a file that can be read once."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts: Iterator[bytes] = iter(parts)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._rest = part
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count
