"""Two bakes of the same inputs: which file in which layer differs, and how. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tasks.bake.normal import Member

CONFIGURATION = "configuration"


class Aspect(StrEnum):
    """In what a file differs; times are none: no layer has any."""

    ONLY_FIRST = "only in the first"
    ONLY_SECOND = "only in the second"
    CONTENT = "content"
    KIND = "kind"
    MODE = "mode"
    OWNER = "owner"
    LINK = "link"
    ATTRIBUTES = "extended attributes"
    DEVICE = "device"
    VALUE = "value"


@dataclass(frozen=True)
class Seen:
    """A member of a layer, and the sha256 (hex) of its content; empty for what is no file."""

    member: Member
    sha256: str = ""


@dataclass(frozen=True)
class Unlike:
    """One path that differs. `layer` is its name, or `configuration`, whose paths are those of the settings in it."""

    layer: str
    path: str
    aspects: tuple[Aspect, ...]


@dataclass(frozen=True)
class PackedLayer:
    """A layer as it was baked: its name, its digest, and its members by path where the two bakes' digests differ."""

    name: str
    digest: str
    members: Mapping[str, Seen]


def unlike_layers(
    first: Sequence[PackedLayer], second: Sequence[PackedLayer]
) -> tuple[Unlike, ...]:
    """Layers are compared by name."""
    ours, theirs = ({one.name: one for one in layers} for layers in (first, second))
    found: list[Unlike] = []
    for name in dict.fromkeys([*ours, *theirs]):
        if name in ours and name in theirs and ours[name].digest == theirs[name].digest:
            continue
        before = ours[name].members if name in ours else {}
        after = theirs[name].members if name in theirs else {}
        for path in sorted(before.keys() | after.keys()):
            if aspects := tuple(_aspects(before.get(path), after.get(path))):
                found.append(Unlike(name, path, aspects))
    return tuple(found)


def _aspects(first: Seen | None, second: Seen | None) -> Iterator[Aspect]:
    if first is None or second is None:
        yield Aspect.ONLY_SECOND if first is None else Aspect.ONLY_FIRST
        return
    one, other = first.member, second.member
    pairs = {
        Aspect.KIND: (one.kind, other.kind),
        Aspect.CONTENT: ((first.sha256, one.size), (second.sha256, other.size)),
        Aspect.MODE: (one.mode, other.mode),
        Aspect.OWNER: ((one.owner, one.group), (other.owner, other.group)),
        Aspect.LINK: (one.link, other.link),
        Aspect.ATTRIBUTES: (one.attributes, other.attributes),
        Aspect.DEVICE: (one.device, other.device),
    }
    yield from (aspect for aspect, (before, after) in pairs.items() if before != after)


def unlike_settings(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[Unlike, ...]:
    """Of two image configurations. What only says which layers there are is not told again."""
    return tuple(
        Unlike(CONFIGURATION, name, (Aspect.VALUE,))
        for name in sorted(first.keys() | second.keys())
        if first.get(name) != second.get(name)
    )
