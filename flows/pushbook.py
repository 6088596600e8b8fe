"""The book of pushes: what the journal says of them, kept up to date by reading only what is new."""

import threading
from collections.abc import Iterable
from typing import Final

from tasks.journal.events import BODIES, body_of
from tasks.journal.pushes import (
    PushAccepted,
    PushDropped,
    PushEnded,
    Pushes,
    PushFold,
    PushTaken,
)
from tasks.ports import Event, Journal
from tasks.pushes import Push, PushedService

BODIES_OF_PUSHES: Final = (PushAccepted, PushTaken, PushDropped, PushEnded)
KINDS_OF_PUSHES: Final = frozenset(
    kind for kind, body in BODIES.items() if body in BODIES_OF_PUSHES
)


class PushBook:
    """Of one journal. Threads may share it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._fold = PushFold()
        self._read_until = 0
        self._lock = threading.Lock()

    def refresh(self) -> Pushes:
        """With every line that is there now."""
        with self._lock:
            for event in self._journal.events(after=self._read_until, kinds=KINDS_OF_PUSHES):
                self._add(event)
                self._read_until = event.sequence
            return self._fold.pushes

    def last(self) -> Pushes:
        """As it was when last refreshed."""
        with self._lock:
            return self._fold.pushes

    def add(self, events: Iterable[Event]) -> None:
        """Lines that were just written. They may be read again."""
        with self._lock:
            for event in events:
                self._add(event)

    def unknown(
        self, repository: str, push: Push, services: Iterable[PushedService]
    ) -> tuple[PushedService, ...]:
        """Those that this push was not accepted for yet: neither this message nor, in any other, this commit."""
        with self._lock:
            if self._fold.knows_delivery(repository, push.delivery):
                return ()
            return tuple(
                one for one in services if not self._fold.knows_commit(one.service, push.commit)
            )

    def _add(self, event: Event) -> None:
        body = body_of(event)
        if isinstance(body, BODIES_OF_PUSHES):
            self._fold.add((event.sequence, event.service, event.at, body))
