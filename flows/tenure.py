"""Tenure: the time in which one owner may change an environment. Its lease is kept by a thread; every write carries its token.

Invariant 6 rests on this and on nothing of Prefect: if the process dies, the lease runs out (or is seen to be
orphaned), and whoever comes next returns traffic to stable first (`flows/heal.py`).
"""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from flows.story import Tone, tell
from tasks import platforms
from tasks.errors import BakewellError, LateWriterError, LeaseHeldError
from tasks.journal.rules import Body, EnvironmentState, State, fold, record
from tasks.model import Lease
from tasks.ports import Event, Journal

LEASE_SECONDS = 20.0
MENDING = "mending"
RECONCILING = "reconcile"
CHORE_SECONDS = 150.0
"""As long as a chore may hold an environment: it starts instances, and moves traffic."""


@dataclass(frozen=True)
class Tenure:
    """What one owner holds: the journal to write to, and the lease that lets it."""

    journal: Journal
    lease: Lease

    @property
    def token(self) -> int:
        return self.lease.token

    def record(self, release: str, body: Body) -> Event:
        """Journal one event under this lease; LateWriterError if somebody else has taken over. The line as it stands."""
        return record(
            self.journal, self.lease.service, self.lease.environment, release, body, self.lease
        )

    def state(self) -> State:
        """What the journal says now."""
        return fold(self.journal.events(self.lease.service))

    def environment_state(self) -> EnvironmentState | None:
        return self.state().environments.get((self.lease.service, self.lease.environment))


@contextmanager
def tenure_after_chores(
    journal: Journal, service: str, environment: str, what: str
) -> Iterator[Tenure]:
    """As `tenure`, for who would be annoyed to be refused because the keeper is at it: a chore is waited for, nobody else."""
    end, told = time.monotonic() + CHORE_SECONDS, False
    with ExitStack() as stack:
        while True:
            try:
                held = stack.enter_context(tenure(journal, service, environment, what))
                break
            except LeaseHeldError as error:
                now = journal.holder(service, environment)
                if time.monotonic() > end or (now is not None and not _is_chore(now)):
                    raise
                if not told:
                    tell(f"waits: {error}", Tone.WAIT, where=f"{service} {environment}")
                told = True
                time.sleep(0.2)
        yield held


def _is_chore(lease: Lease) -> bool:
    return lease.owner.endswith((f":{MENDING}", f":{RECONCILING}"))


@contextmanager
def tenure(journal: Journal, service: str, environment: str, what: str) -> Iterator[Tenure]:
    """Hold the lease on an environment (or, with an empty name, on all releases of the service).

    LeaseHeldError, naming the owner, if somebody alive holds it.
    """
    lease = journal.acquire(service, environment, platforms.this_owner(what), LEASE_SECONDS)
    stop = threading.Event()
    keeper = threading.Thread(
        target=_keep, args=(lease, stop), name=f"lease of {service} {environment}", daemon=True
    )
    keeper.start()
    try:
        yield Tenure(journal, lease)
    finally:
        stop.set()
        keeper.join()
        journal.release(lease)


def _keep(lease: Lease, stop: threading.Event) -> None:
    """Renew in time. A lost lease ends the keeping: the next write is refused by the journal and the platform."""
    journal = platforms.journal()
    while not stop.wait(LEASE_SECONDS / 4):
        try:
            journal.renew(lease, LEASE_SECONDS)
        except LateWriterError as error:
            tell(str(error), Tone.BAD, where=f"{lease.service} {lease.environment}".strip())
            return
        except BakewellError as error:  # the next round tries again, well before the lease is over
            tell(f"the lease could not be renewed yet: {error}", Tone.WARN, where=lease.service)
