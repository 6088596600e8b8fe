"""What of a built image is kept so that the same inputs give the same bytes: order, owners, modes, content; never times.

Pure. Layers: image-spec 1.1, layer.md (whiteouts, hard links). What is left out is what RUN steps leave behind, differs
each time, and is of no use to what runs.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, Final

from tasks.errors import CorruptError

WHITEOUT: Final = ".wh."
OPAQUE: Final = ".wh..wh..opq"
HOST_ATTRIBUTES: Final = ("trusted.overlay.", "user.overlay.", "security.selinux")
VOLATILE: Final = re.compile(
    r"var/log/(apt/.+|dpkg\.log|alternatives\.log|bootstrap\.log|lastlog|faillog)"
    r"|var/cache/ldconfig/aux-cache|var/cache/(apt|debconf)/.+|var/lib/apt/lists/.+"
    r"|var/lib/dpkg/.+-old|etc/(passwd|group|shadow|gshadow|subuid|subgid)-"
    r"|tmp/.+|root/\.cache/.+|(.*/)?__pycache__/[^/]+\.pyc\.\d+"
)
# Mounted over by every engine while a step runs; some leave behind what they mounted on, and the folder it was in.
STUBS: Final = frozenset({"etc/resolv.conf", "etc/hosts", "etc/hostname", ".dockerenv"})
MOUNTED_ON: Final = ("dev", "proc", "sys", "etc", "run/secrets")
RUN_SETTINGS: Final = (
    *(
        "Env",
        "User",
        "WorkingDir",
        "ExposedPorts",
        "Labels",
        "Volumes",
        "StopSignal",
        "Healthcheck",
    ),
)
STAGING_LABEL: Final = "bakewell.staging"


class MemberKind(StrEnum):
    """What a member of a layer is."""

    FILE = "file"
    FOLDER = "folder"
    SYMLINK = "symbolic link"
    HARD_LINK = "hard link"
    FIFO = "pipe"
    CHARACTERS = "character device"
    BLOCKS = "block device"


@dataclass(frozen=True)
class Member:
    """One member of a layer. `place`: where in the packed layer its content is; it is not part of the artifact.

    `attributes` are its extended attributes (file capabilities) as sorted pairs; `device` is major and minor number.
    `stale`: byte code that Python knows by its source's time, which is not kept: it would be compiled again anyway.
    """

    path: str
    kind: MemberKind
    mode: int
    place: int
    owner: int = 0
    group: int = 0
    size: int = 0
    link: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    device: tuple[int, int] = (0, 0)
    stale: bool = False


@dataclass(frozen=True)
class Normal:
    """A layer's members as they are packed, and every path that was left out in it or below."""

    members: tuple[Member, ...]
    left_out: frozenset[str]


def normal(members: Iterable[Member], left_out: frozenset[str] = frozenset()) -> Normal:
    """Sorted, each path once (the last counts), without what is volatile. `left_out`: of the layers below.

    Of several names of one file the first is the file, and the others are hard links to it, whichever the builder chose.
    """
    found = {clean.path: clean for clean in map(_clean, members) if clean.path}
    kept = {path for path, one in found.items() if not _is_left_out(one, left_out)}
    kept -= set(_mounted_on(found, kept))
    gone = {path for path in found.keys() - kept if not _removed(path)}
    files = sorted(_one_form(found, kept), key=lambda one: _order(one.path))
    return Normal(tuple(files), left_out | gone)


def _one_form(found: Mapping[str, Member], kept: set[str]) -> Iterator[Member]:
    """What is kept, hard links in their one form."""
    groups = _hard_linked(found)
    linked = {name for names in groups.values() for name in names}
    yield from (found[path] for path in kept - linked)
    for root, names in groups.items():
        first, *others = sorted(names & kept, key=_order) or [""]
        if first:
            yield replace(found[root], path=first)
        for name in others:
            kind = MemberKind.HARD_LINK
            yield replace(found[root], path=name, kind=kind, link=first, size=0)


def _clean(member: Member) -> Member:
    path = _spelled(member.path)
    mode = 0o777 if member.kind is MemberKind.SYMLINK else member.mode & 0o7777
    link = _spelled(member.link) if member.kind is MemberKind.HARD_LINK else member.link
    kept = tuple(sorted(one for one in member.attributes if not one[0].startswith(HOST_ATTRIBUTES)))
    if _name(path).startswith(WHITEOUT):  # only its name means something
        return Member(path, MemberKind.FILE, 0, member.place)
    return replace(member, path=path, mode=mode, link=link, attributes=kept)


def _spelled(path: str) -> str:
    """`./a//b/` is `a/b`; the root is empty. By hand: pathlib takes seconds for the files of a large layer."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise CorruptError(
            f"asked to bake a layer with the path {path!r}, which leads out of it; do not use that builder"
        )
    return "/".join(parts)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _is_left_out(member: Member, below: frozenset[str]) -> bool:
    """What removes a path is kept unless that path was left out below: it may be the base's."""
    if removed := _removed(member.path):
        return removed in below or _name(member.path).startswith(".wh..wh.")
    if _name(member.path) == OPAQUE:
        return False
    stub = member.path in STUBS and member.kind is MemberKind.FILE and member.size == 0
    return member.stale or stub or VOLATILE.fullmatch(member.path) is not None


def _mounted_on(found: Mapping[str, Member], kept: set[str]) -> Iterator[str]:
    """`run` only with the `secrets` in it: somebody may want an empty one."""
    for path in MOUNTED_ON:
        if _is_bare(path, found, kept):
            yield path
            if path == "run/secrets" and _is_bare("run", found, kept - {path}):
                yield "run"


def _is_bare(path: str, found: Mapping[str, Member], kept: set[str]) -> bool:
    """A folder as engines make it, root's and for all to read, with nothing in it."""
    if path not in kept or any(one.startswith(f"{path}/") for one in kept):
        return False
    folder = found[path]
    made = (folder.kind, folder.mode, folder.owner, folder.group)
    return made == (MemberKind.FOLDER, 0o755, 0, 0) and not folder.attributes


def _removed(path: str) -> str:
    """The path that a whiteout removes; empty for what is none, and for an opaque one."""
    folder, slash, name = path.rpartition("/")
    if not name.startswith(WHITEOUT) or name == OPAQUE:
        return ""
    return f"{folder}{slash}{name.removeprefix(WHITEOUT)}"


def _hard_linked(found: Mapping[str, Member]) -> dict[str, set[str]]:
    """The file that has the content -> all its names. Links to what is not in the layer are no use to anybody."""
    groups: dict[str, set[str]] = {}
    for path, one in found.items():
        root, seen = one, {path}
        while root.kind is MemberKind.HARD_LINK and root.link in found and root.link not in seen:
            seen.add(root.link)
            root = found[root.link]
        if one.kind is MemberKind.HARD_LINK:
            if root.kind is MemberKind.HARD_LINK:
                raise CorruptError(
                    f"asked to bake a layer in which {path!r} is a hard link to {root.link!r}, which is not in it;"
                    " do not use that builder"
                )
            groups.setdefault(root.path, {root.path}).add(path)
    return groups


def _order(path: str) -> tuple[tuple[bool, str], ...]:
    """Folders before what is in them; whiteouts before what stands beside them (layer.md)."""
    return tuple((not part.startswith(WHITEOUT), part) for part in path.split("/"))


def is_stale_bytecode(path: str, head: bytes) -> bool:
    """By the first 8 bytes (PEP 552): flags 0 means that it counts only for a source of one time and size."""
    in_cache = PurePosixPath(path).parent.name == "__pycache__" and path.endswith(".pyc")
    return in_cache and len(head) >= 8 and head[4:8] == b"\0\0\0\0"


def run_settings(built: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """How a built image is run: `built` is its `config`, `ours` what service.yaml says (rules.run_configuration).

    `Cmd` is the whole command line, as of every artifact: ENTRYPOINT and CMD in one. Empty if nothing says what to run.
    """
    told = {name: built[name] for name in RUN_SETTINGS if built.get(name)}
    command = [*(built.get("Entrypoint") or ()), *(built.get("Cmd") or ())]
    labels = {**(told.get("Labels") or {}), **ours["Labels"]}
    labels.pop(STAGING_LABEL, None)
    return {
        **told,
        "Cmd": ours["Cmd"] or command,
        "Env": [*(told.get("Env") or ()), *ours["Env"]],
        "ExposedPorts": {**(told.get("ExposedPorts") or {}), **ours["ExposedPorts"]},
        "Labels": labels,
        "WorkingDir": told.get("WorkingDir") or "/",
    }


def layers_of_base(base: Sequence[str], built: Sequence[str], reference: str) -> int:
    """How many layers of the image are the base's own; both as diff_ids."""
    if list(built[: len(base)]) != list(base):
        raise CorruptError(
            f"asked to bake on {reference}; the engine built on something else (its layers are others); see that its"
            " copy of the base is whole: `docker pull` it again"
        )
    return len(base)
