"""What the tags of followed bases stand for now. What is new is journalled: from then on it grows old enough to be followed."""

from collections.abc import Iterable
from dataclasses import dataclass

from flows.rebuild_state import bases_seen
from tasks import platforms
from tasks.errors import BakewellError
from tasks.journal.rebuilds import BasesSeen, SeenBase
from tasks.journal.rules import EVERY_SERVICE, record
from tasks.references import BaseUsed


@dataclass(frozen=True)
class Tag:
    """What one stands for now; empty if that could not be told, and why."""

    digest: str
    unread: str = ""


def look_at_tags(used: Iterable[BaseUsed]) -> dict[str, Tag]:
    """By place, each asked once. One registry that does not answer keeps no other from being asked."""
    places = {one.place: one for one in used}
    found = {place: _ask(one) for place, one in places.items()}
    _remember(found)
    return found


def _ask(one: BaseUsed) -> Tag:
    try:
        digest = platforms.store(one.repository).resolve(one.tag)
    except BakewellError as error:
        return Tag("", str(error))
    return Tag(digest) if digest else Tag("", f"{one.repository} has no tag {one.tag!r}")


def _remember(found: dict[str, Tag]) -> None:
    journal = platforms.journal()
    known = bases_seen(journal.events(EVERY_SERVICE))
    new = tuple(
        SeenBase(place, tag.digest)
        for place, tag in sorted(found.items())
        if tag.digest and tag.digest not in known.get(place, set())
    )
    if new:
        record(journal, EVERY_SERVICE, "", "", BasesSeen(new))
