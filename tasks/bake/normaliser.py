"""Rewrites a built layer: the same members, in one order, without times; so that two builds of the same are the same bytes."""

import gzip
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

from tasks.bake.layers import BUFFER, Gzip
from tasks.bake.normal import Member, MemberKind, Normal, is_stale_bytecode, normal
from tasks.bake.rules import Layer
from tasks.errors import CorruptError, RefusedError

XATTR: Final = "SCHILY.xattr."
TYPES: Final = {
    MemberKind.FILE: tarfile.REGTYPE,
    MemberKind.FOLDER: tarfile.DIRTYPE,
    MemberKind.SYMLINK: tarfile.SYMTYPE,
    MemberKind.HARD_LINK: tarfile.LNKTYPE,
    MemberKind.FIFO: tarfile.FIFOTYPE,
    MemberKind.CHARACTERS: tarfile.CHRTYPE,
    MemberKind.BLOCKS: tarfile.BLKTYPE,
}
KINDS: Final = {kind: name for name, kind in TYPES.items()}


def normalise(
    name: str, built: Path, path: Path, left_out: frozenset[str] = frozenset()
) -> tuple[Layer, int, frozenset[str]]:
    """Write the layer in `built` (a tar) to `path` as it shall be. Also: its members, and what was left out in it or below."""
    try:
        with tarfile.open(built, mode="r:") as source, path.open("wb") as file:
            infos = source.getmembers()
            chosen = normal(_members(source, infos), left_out)
            packed = Gzip(file)
            with tarfile.open(
                fileobj=cast(BinaryIO, packed), mode="w|", format=tarfile.PAX_FORMAT, bufsize=BUFFER
            ) as target:
                _write(source, infos, chosen, target)
            return packed.finish(name), len(chosen.members), chosen.left_out
    except tarfile.TarError as error:
        raise CorruptError(
            f"asked to read the {name} that the engine built; it is no whole tar: {error}; bake again"
        ) from error
    except OSError as error:
        raise RefusedError(
            f"asked to pack the {name} in {path.parent}; found {error.strerror or error}; nothing was stored; "
            "check the disk, then bake again"
        ) from error


def unpacked(packed: Path, path: Path) -> Path:
    """The tar in `packed`, which may be gzip; CorruptError if it is broken."""
    with packed.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return packed
    try:
        with gzip.open(packed, "rb") as source, path.open("wb") as target:
            while part := source.read(BUFFER):
                target.write(part)
    except (EOFError, gzip.BadGzipFile) as error:
        raise CorruptError(f"asked to unpack a built layer; found {error}; bake again") from error
    return path


def members_of(layer: Path) -> Iterator[tuple[Member, BinaryIO | None]]:
    """What is in a packed layer of ours, with what to read a file's content from."""
    with tarfile.open(layer, mode="r:*") as source:
        for place, info in enumerate(source):
            yield _member(info, place), _content(source, info)


def _members(source: tarfile.TarFile, infos: list[tarfile.TarInfo]) -> Iterator[Member]:
    for place, info in enumerate(infos):
        stale = False
        if info.name.endswith(".pyc") and (content := _content(source, info)):
            stale = is_stale_bytecode(info.name, content.read(8))
        yield _member(info, place, stale)


def _member(info: tarfile.TarInfo, place: int, stale: bool = False) -> Member:
    kind = MemberKind.FILE if info.isreg() else KINDS.get(info.type)
    if kind is None:
        raise CorruptError(
            f"asked to bake a layer in which {info.name!r} is of the unknown kind {info.type!r}"
        )
    attributes = {
        key.removeprefix(XATTR): value
        for key, value in info.pax_headers.items()
        if key.startswith(XATTR)
    }
    return Member(
        info.name,
        kind,
        info.mode,
        place,
        info.uid,
        info.gid,
        info.size if kind is MemberKind.FILE else 0,
        info.linkname,
        tuple(sorted(attributes.items())),
        (info.devmajor, info.devminor)
        if kind in (MemberKind.CHARACTERS, MemberKind.BLOCKS)
        else (0, 0),
        stale,
    )


def _content(source: tarfile.TarFile, info: tarfile.TarInfo) -> BinaryIO | None:
    """Of a file alone: tarfile would follow links."""
    return cast(BinaryIO | None, source.extractfile(info)) if info.isreg() else None


def _write(
    source: tarfile.TarFile,
    infos: list[tarfile.TarInfo],
    chosen: Normal,
    target: tarfile.TarFile,
) -> None:
    for one in chosen.members:
        member = tarfile.TarInfo(one.path)
        member.type, member.mode, member.mtime = TYPES[one.kind], one.mode, 0
        member.uid, member.gid, member.linkname = one.owner, one.group, one.link
        member.devmajor, member.devminor = one.device
        member.size = one.size if one.kind is MemberKind.FILE else 0
        member.pax_headers = {f"{XATTR}{key}": value for key, value in one.attributes}
        content = _content(source, infos[one.place]) if one.kind is MemberKind.FILE else None
        target.addfile(member, content)
