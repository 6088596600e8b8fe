"""The desk where pushes are filed: one thread writes them to the journal, as many at once as have come meanwhile.

The journal has one writer at a time, and each write waits for the disk. One by one, a hundred pushes a second would queue up
behind each other and behind every rollout; together they cost one write.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

from flows.pushbook import PushBook
from tasks import platforms
from tasks.errors import BakewellError, LeaseHeldError, TransientError
from tasks.journal.events import KINDS, written
from tasks.journal.pushes import PushAccepted
from tasks.ports import Entry, Journal
from tasks.pushes import Push, PushedService, Repository

AT_ONCE: Final = 500
QUEUE_AT_MOST: Final = 5_000
OTHERS_SECONDS: Final = 1.0
HEALTH: Final = "health of the receiver"


@dataclass(frozen=True)
class _Paper:
    repository: Repository
    push: Push
    services: tuple[PushedService, ...]
    filed: Future[tuple[str, ...]] = field(default_factory=Future)


class Desk:
    """`on_filed` is called, in the desk's thread, after pushes were accepted."""

    def __init__(self, journal: Journal, on_filed: Callable[[], object] = lambda: None) -> None:
        self.book = PushBook(journal)
        self._journal = journal
        self._on_filed = on_filed
        self._papers: queue.Queue[_Paper | None] = queue.Queue(QUEUE_AT_MOST)
        self._look_at = 0.0
        self._writer = threading.Thread(target=self._write, name="desk", daemon=True)

    def open(self) -> None:
        self.book.refresh()
        self._writer.start()

    def close(self) -> None:
        """What has come is filed yet."""
        self._papers.put(None)
        self._writer.join()

    def file(
        self, repository: Repository, push: Push, services: tuple[PushedService, ...]
    ) -> Future[tuple[str, ...]]:
        """The services that it is accepted for, once the journal has it: none if it is known already.

        TransientError if the journal could not be written, or too many wait for it.
        """
        paper = _Paper(repository, push, services)
        try:
            self._papers.put_nowait(paper)
        except queue.Full as error:
            raise TransientError(
                f"{QUEUE_AT_MOST} pushes wait for the journal; deliver it again"
            ) from error
        return paper.filed

    def check(self) -> None:
        """Can the journal be written? TransientError or RefusedError if not."""
        try:
            lease = self._journal.acquire("", HEALTH, platforms.this_owner(HEALTH), 1.0)
        except LeaseHeldError:
            return  # another receiver has just written it
        self._journal.release(lease)

    def _write(self) -> None:
        while (first := self._papers.get()) is not None:
            papers = [first]
            is_closing = self._fill(papers)
            self._file(papers)
            if is_closing:
                return

    def _fill(self, papers: list[_Paper]) -> bool:
        """With what waits. Was it the last?"""
        while len(papers) < AT_ONCE:
            try:
                paper = self._papers.get_nowait()
            except queue.Empty:
                return False
            if paper is None:
                return True
            papers.append(paper)
        return False

    def _file(self, papers: Sequence[_Paper]) -> None:
        try:
            self._look_for_others()
            accepted = self._accept(papers)
        except BakewellError as error:
            for paper in papers:
                paper.filed.set_exception(error)
            return
        for paper, services in zip(papers, accepted, strict=True):
            paper.filed.set_result(tuple(one.service for one in services))
        if any(accepted):
            self._on_filed()

    def _look_for_others(self) -> None:
        """What other receivers have accepted, now and then. That only saves work: one commit has one run, whoever accepts it."""
        if (now := time.monotonic()) > self._look_at:
            self.book.refresh()
            self._look_at = now + OTHERS_SECONDS

    def _accept(self, papers: Sequence[_Paper]) -> list[tuple[PushedService, ...]]:
        """Journalled before anybody hears of it."""
        entries: list[Entry] = []
        accepted: list[tuple[PushedService, ...]] = []
        seen: set[tuple[str, str]] = set()
        for paper in papers:
            push = paper.push
            fresh = tuple(
                one
                for one in self.book.unknown(paper.repository.name, push, paper.services)
                if (one.service, push.commit) not in seen
            )
            seen.update((one.service, push.commit) for one in fresh)
            entries += [_entry(paper.repository, push, one) for one in fresh]
            accepted.append(fresh)
        if entries:
            self.book.add(self._journal.append_all(entries))
        return accepted


def _entry(repository: Repository, push: Push, service: PushedService) -> Entry:
    body = PushAccepted(
        *(repository.forge.value, push.delivery, repository.name, push.branch),
        *(push.commit, service.folder, push.by),
    )
    return Entry(KINDS[PushAccepted], service.service, written(body))
