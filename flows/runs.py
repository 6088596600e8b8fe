"""A run of Prefect's that a process of ours is doing: held in the journal, so that all know when nobody does it any more."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from flows.story import Tone, tell
from flows.tenure import tenure
from tasks import platforms
from tasks.errors import LeaseHeldError, TransientError
from tasks.journal.events import EVERY_SERVICE

FORGET_EVERY_SECONDS: Final = 3600.0
FREE_SECONDS: Final = 24 * 3600.0


@contextmanager
def doing(run: str, patience_seconds: float = 0.0) -> Iterator[None]:
    """Hold the run while it is being done. LeaseHeldError if another living process does it, and goes on doing it.

    Without a journal there is nothing to hold; the flow itself will say so.
    """
    with ExitStack() as stack:
        try:
            _hold(stack, run, time.monotonic() + patience_seconds)
        except TransientError as error:
            tell(f"nobody will know that this run is being done: {error}", Tone.WARN)
        yield


def _hold(stack: ExitStack, run: str, until: float) -> None:
    while True:
        held = tenure(platforms.journal(), EVERY_SERVICE, _place(run), "a Prefect run")
        try:
            stack.enter_context(held)
            return
        except LeaseHeldError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.3)


def is_done_by_somebody(run: str) -> bool:
    """Does a living process hold it now? TransientError if the journal does not answer."""
    return platforms.journal().holder(EVERY_SERVICE, _place(run)) is not None


def forget_runs() -> Iterator[str]:
    """A chore, once an hour: leases on runs that nobody has done for a day. One that is woken later gets another."""
    mark = platforms.home() / "runs-forgotten"
    if mark.exists() and time.time() - mark.stat().st_mtime < FORGET_EVERY_SECONDS:
        return
    mark.touch()
    platforms.journal().forget_leases(EVERY_SERVICE, _place(""), FREE_SECONDS)
    yield from ()


def _place(run: str) -> str:
    return f"run {run}"
