"""A run of Prefect's that a process of ours is doing: held in the journal, so that all know when nobody does it any more."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from flows.story import Tone, tell
from flows.tenure import tenure
from tasks import platforms
from tasks.errors import TransientError
from tasks.journal.events import EVERY_SERVICE


@contextmanager
def doing(run: str) -> Iterator[None]:
    """Hold the run while it is being done. LeaseHeldError if another living process does it already.

    Without a journal there is nothing to hold; the flow itself will say so.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(
                tenure(platforms.journal(), EVERY_SERVICE, _place(run), "a Prefect run")
            )
        except TransientError as error:
            tell(f"nobody will know that this run is being done: {error}", Tone.WARN)
        yield


def is_done_by_somebody(run: str) -> bool:
    """Does a living process hold it now? TransientError if the journal does not answer."""
    return platforms.journal().holder(EVERY_SERVICE, _place(run)) is not None


def _place(run: str) -> str:
    return f"run {run}"
