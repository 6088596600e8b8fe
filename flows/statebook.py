"""The book of states: what the journal says of everything, kept up to date by reading only what is new.

For who asks every few seconds. A year's journal takes seconds to read; what was added since the last round does not.
"""

import threading
from typing import Final

from tasks import platforms
from tasks.journal.rules import TOLD_ONLY, EventKind, State, fold
from tasks.ports import Event, Journal

CHANGING: Final = frozenset(EventKind) - TOLD_ONLY
"""Who folds only lines of these kinds folds the same, but for kinds that a newer Bakewell wrote: those it does not notice."""


class StateBook:
    """Of one journal. Threads may share it.

    Lines that change nothing are not read, and so no kind that is not known here is noticed. Whoever acts on what the book says
    takes a lease first, and folds what is there then: that fold refuses such a line.
    """

    def __init__(self) -> None:
        self._state = State()
        self._last: Event | None = None
        self._lock = threading.Lock()

    def refresh(self, journal: Journal) -> State:
        """With every line that is there now."""
        with self._lock:
            events = journal.events(
                after=self._last.sequence - 1 if self._last else 0, kinds=CHANGING
            )
            if self._last and (not events or events[0].hash != self._last.hash):
                self._state, self._last = State(), None  # another journal has taken its place
                events = journal.events(kinds=CHANGING)
            new = events[1:] if self._last else events
            self._state = fold(new, self._state)
            self._last = new[-1] if new else self._last
            return self._state


_BOOKS: dict[str, StateBook] = {}


def state_of_today(journal: Journal) -> State:
    """What follows from this installation's journal."""
    return _BOOKS.setdefault(platforms.journal_address(), StateBook()).refresh(journal)
