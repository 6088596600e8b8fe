"""Where else an artifact may be read: what $BAKEWELL_MIRRORS says, and what it means for one repository. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tasks.errors import InvalidInputError

VARIABLE: Final = "BAKEWELL_MIRRORS"
ALLOWED: Final = (
    "`first=second`, several separated by commas; each side is `host[:port]`, `host[:port]/name` in small letters, or"
    " `layout:/absolute/folder`, without user, scheme, tag, digest or a slash at the end"
)
_NAME = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
_HOST = r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(?::\d+)?"
_SIDE = re.compile(rf"{_HOST}(?:/{_NAME})*|layout:(?:/[^/@=,]+)+")


@dataclass(frozen=True)
class Mirror:
    """What is in a repository below `first` may be read below `second`, too."""

    first: str
    second: str

    def of(self, repository: str) -> str | None:
        """The mirror of that repository; None if this is not about it."""
        if repository == self.first:
            return self.second
        below = repository.removeprefix(f"{self.first}/")
        return f"{self.second}/{below}" if below != repository else None


def parse_mirrors(text: str) -> tuple[Mirror, ...]:
    """InvalidInputError, saying which entry and what is allowed; the entry itself only if it can hold no password."""
    return tuple(_mirror(number, entry) for number, entry in enumerate(text.split(","), start=1))


def mirrors_of(repository: str, mirrors: Sequence[Mirror]) -> tuple[str, ...]:
    """Repositories to read instead, in the order in which they are named, none twice."""
    found = [one for mirror in mirrors if (one := mirror.of(repository))]
    return tuple(dict.fromkeys(one for one in found if one != repository))


def _mirror(number: int, entry: str) -> Mirror:
    sides = [side.strip() for side in entry.split("=")]
    if len(sides) != 2 or not all(map(_SIDE.fullmatch, sides)):
        shown = "something with an `@`" if "@" in entry else repr(entry.strip())
        raise InvalidInputError(
            f"asked for the mirrors that ${VARIABLE} names; entry {number} is {shown}; allowed: {ALLOWED}"
        )
    first, second = sides
    if first == second:
        raise InvalidInputError(
            f"asked for the mirrors that ${VARIABLE} names; entry {number} says that {first} is its own mirror; name"
            " another place, or take the entry out"
        )
    return Mirror(first, second)
