"""Reads the files that a service bakes: where each goes, and the hash of every one, before anything is written."""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from tasks.bake.rules import Entry, EntryKind, distinct, file_mode, is_ignored, leaves
from tasks.errors import InvalidInputError


def read_files(folder: Path, files: Mapping[str, str]) -> tuple[Entry, ...]:
    """`files` as in service.yaml: file or folder in `folder` -> absolute path in the artifact.

    A target that ends with `/` takes a file under its own name. Ignored in folders: version control (.git, .hg, .svn)
    and byte code (__pycache__, *.pyc, *.pyo).
    """
    entries = []
    for source, target in sorted(files.items()):
        origin = _inside(folder, source)
        if target.endswith("/") and not origin.is_dir():
            target += origin.name
        entries += list(_read(origin, target.strip("/")))
    return distinct(entries)


def read_tree(root: Path, target: str) -> tuple[Entry, ...]:
    """A whole folder, to be found at `target` in the artifact."""
    return distinct(list(_read(root, target.strip("/"))))


def read_context(root: Path, kept: frozenset[str]) -> tuple[Entry, ...]:
    """What a Dockerfile may copy from: of a folder those paths that are `kept` (relative), with the folders above them."""
    above = {str(parent) for path in kept for parent in PurePosixPath(path).parents}
    return distinct(list(_read(root, "", kept | above)))


def _inside(folder: Path, source: str) -> Path:
    origin = folder / source
    if not os.path.lexists(origin):
        raise InvalidInputError(
            f"asked to bake {source!r}; there is no {origin}; correct `files` in service.yaml"
        )
    resolved = _real(origin)
    if not resolved.is_relative_to(_real(folder)):
        raise InvalidInputError(
            f"asked to bake {origin}; it leads to {resolved}, outside {folder}; bake only what is beside service.yaml"
        )
    return resolved


def _read(origin: Path, target: str, kept: frozenset[str] | None = None) -> Iterator[Entry]:
    try:
        if origin.is_dir():
            yield from _walk(origin, PurePosixPath(target), PurePosixPath(), kept)
        else:
            yield _file(origin, _utf8(str(PurePosixPath(target)), origin))
    except OSError as error:
        raise InvalidInputError(
            f"asked to bake {error.filename or origin}; it cannot be read: {error.strerror}; "
            "nothing was baked; check that it is there and who may read it"
        ) from error


def _walk(
    root: Path, target: PurePosixPath, inner: PurePosixPath, kept: frozenset[str] | None
) -> Iterator[Entry]:
    here = target / inner
    if here.parts:
        yield Entry(_utf8(str(here), root / inner), EntryKind.FOLDER, 0o755)
    with os.scandir(root / inner) as found:
        children = sorted(found, key=lambda child: child.name)
    for child in children:
        path = inner / child.name
        if kept is not None and str(path) not in kept:
            continue
        if child.is_symlink():
            if not is_ignored(child.name, False):
                yield _link(root, path, target / path)
        elif is_ignored(child.name, child.is_dir()):
            continue
        elif child.is_dir():
            yield from _walk(root, target, path, kept)
        else:
            yield _file(root / path, _utf8(str(target / path), root / path))


def _file(origin: Path, path: str) -> Entry:
    status = origin.stat()
    if not stat.S_ISREG(status.st_mode):
        raise InvalidInputError(
            f"asked to bake {origin}; it is neither file, folder nor symbolic link; remove it"
        )
    with origin.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    return Entry(path, EntryKind.FILE, file_mode(status.st_mode), content, size, origin)


def _link(root: Path, inner: PurePosixPath, path: PurePosixPath) -> Entry:
    origin = root / inner
    leads_to = os.readlink(origin)
    if leaves(str(inner), leads_to) or not _real(origin).is_relative_to(_real(root)):
        raise InvalidInputError(
            f"asked to bake {origin}; the symbolic link leads to {leads_to}, outside {root}; "
            "it would lead elsewhere in the artifact: replace it by what it means"
        )
    return Entry(_utf8(str(path), origin), EntryKind.LINK, 0o777, _utf8(leads_to, origin))


def _utf8(text: str, origin: Path) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"asked to bake {os.fsencode(origin)!r}; its name is not UTF-8, and would differ from machine to machine; "
            "rename it"
        ) from error
    return text


def _real(path: Path) -> Path:
    """Without symbolic links; a loop of links, unlike with Path.resolve, is no error."""
    return Path(os.path.realpath(path))
