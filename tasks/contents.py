"""What the layers of an image hold, and what they make together. Pure; as the OCI image specification has it (layer.md)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum


class MemberKind(StrEnum):
    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    HARD_LINK = "hard link"
    OTHER = "device or pipe"
    WHITEOUT = "whiteout"
    OPAQUE = "opaque folder"


@dataclass(frozen=True)
class Member:
    """One entry of a layer. `path` is absolute; of a whiteout what it hides, of an opaque mark its folder.

    `digest` is of a file's content (`sha256:…`), `target` where a link leads. `size` is in bytes, `mode` has permission
    bits alone.
    """

    path: str
    kind: MemberKind
    mode: int = 0
    size: int = 0
    digest: str = ""
    target: str = ""


Layer = tuple[Member, ...]
HIDING = (MemberKind.WHITEOUT, MemberKind.OPAQUE)


def together(layers: Iterable[Layer]) -> dict[str, Member]:
    """What is there at the end, by path: each layer on what is below. Hard links are the file they name."""
    found: dict[str, Member] = {}
    for layer in layers:
        hidden = {one.path for one in layer if one.kind is MemberKind.WHITEOUT}
        emptied = {one.path for one in layer if one.kind is MemberKind.OPAQUE}
        replaced = {one.path for one in layer if one.kind not in (*HIDING, MemberKind.FOLDER)}
        if gone := hidden | emptied | replaced:
            found = {path: one for path, one in found.items() if not _is_gone(path, gone, hidden)}
        for one in layer:
            if one.kind not in HIDING:
                found[one.path] = _linked(one, found)
    return found


def _is_gone(path: str, gone: set[str], hidden: set[str]) -> bool:
    """Itself hidden, or below something that is hidden, emptied or no folder any more."""
    if path in hidden:
        return True
    above = path.rpartition("/")[0]
    while above:
        if above in gone:
            return True
        above = above.rpartition("/")[0]
    return False


def _linked(one: Member, found: Mapping[str, Member]) -> Member:
    if one.kind is not MemberKind.HARD_LINK or one.target not in found:
        return one
    return replace(found[one.target], path=one.path)


def shared(before: Sequence[str], after: Sequence[str]) -> int:
    """How many layers from the bottom two images have in common, by digest."""
    pairs = zip(before, after, strict=False)
    return next(
        (number for number, (one, other) in enumerate(pairs) if one != other),
        min(len(before), len(after)),
    )


def stands_alone(before: Iterable[Layer], after: Iterable[Layer]) -> bool:
    """Can the difference of two images be told without the layers they share? Not if one of them hides something there,
    or has something at a path where the other shows what is below."""
    told = [[one for layer in layers for one in layer] for layers in (before, after)]
    if any(one.kind in (*HIDING, MemberKind.HARD_LINK) for part in told for one in part):
        return False
    seen = [{(one.path, one.kind is MemberKind.FOLDER) for one in part} for part in told]
    return seen[0] == seen[1]
