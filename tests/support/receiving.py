"""The receiver in the test's own process, asked without a network, with a journal of its own."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from starlette.applications import Starlette

from flows.desk import Desk
from flows.receiving import application
from tasks.adapters.journal import SqlJournal
from tasks.adapters.receiver import Limits
from tasks.journal.events import body_of
from tasks.journal.pushes import PushAccepted
from tasks.pushes import Forge
from tests.support.forge import generic_push, signed

URL = "https://git.example.org/team/shop.git"


def commit() -> str:
    return uuid.uuid4().hex + "0" * 8


@dataclass(frozen=True)
class Post:
    """The receiver to send to."""

    app: Starlette
    journal: SqlJournal

    def send(
        self,
        body: bytes | AsyncIterator[bytes],
        headers: Mapping[str, str],
        path: str = "/push/shop",
        method: str = "POST",
    ) -> httpx.Response:
        return asyncio.run(self._send(body, headers, path, method))

    async def _send(
        self,
        body: bytes | AsyncIterator[bytes],
        headers: Mapping[str, str],
        path: str,
        method: str,
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.request(method, path, content=body, headers=headers)

    def push(self, of: str, branch: str = "main", delivery: str = "") -> httpx.Response:
        body = generic_push(URL, of, branch)
        return self.send(body, signed(Forge.GENERIC, body, delivery=delivery))

    def accepted(self) -> list[tuple[str, str]]:
        """(service, commit) of every line."""
        lines = [(event.service, body_of(event)) for event in self.journal.events()]
        return [(service, body.commit) for service, body in lines if isinstance(body, PushAccepted)]


@contextmanager
def receiving(folder: Path, limits: Limits | None = None) -> Iterator[Post]:
    """By the file of repositories that $BAKEWELL_REPOSITORIES names."""
    journal = SqlJournal(f"sqlite:///{folder / 'journal.db'}")
    desk = Desk(journal)
    app = application(desk, limits or Limits(body_bytes=20_000, body_seconds=0.3))
    desk.open()
    try:
        yield Post(app, journal)
    finally:
        desk.close()
