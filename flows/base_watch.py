"""The base watch: what tags of followed bases stand for is looked at several times a day, so that a new digest has long been known
when the weekly rebuild comes. Without it, it would grow old from one rebuild to the next only."""

import time
from collections.abc import Iterator
from typing import Final

from flows.base_tags import look_at_tags
from flows.standing import standing
from tasks import platforms
from tasks.journal.rules import fold

EVERY_SECONDS: Final = 6 * 3600.0


def watch_bases() -> Iterator[str]:
    """If nobody on this machine has looked for six hours. Says what could not be read; what is new is in the journal."""
    mark = platforms.home() / "bases-looked-at"
    if mark.exists() and time.time() - mark.stat().st_mtime < EVERY_SECONDS:
        return
    mark.touch()
    state = fold(platforms.journal().events())
    running = (standing(state, service) for service in {name for name, _ in state.environments})
    found = look_at_tags(base for one in running if one for base in one.bases)
    for place, tag in sorted(found.items()):
        if tag.unread:
            yield f"what {place} is now could not be told: {tag.unread}"
