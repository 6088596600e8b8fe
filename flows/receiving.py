"""Receiving: `python -m flows.receiving` listens for pushes, writes them to the journal, and has them delivered at once.

Settings, by the environment: BAKEWELL_RECEIVER_HOST (127.0.0.1), BAKEWELL_RECEIVER_PORT (4300; 0 chooses one), BAKEWELL_RECEIVER_
PER_MINUTE (1200, for each remote and each repository), BAKEWELL_RECEIVER_BYTES (5000000). To the world only `/push/` need be open,
behind a proxy that ends TLS; the remote is then who the proxy (on this machine) says it is.
"""

import logging
import os
import signal
import socket
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette

from flows import console
from flows.delivering import deliver_from
from flows.desk import Desk
from flows.pushbook import PushBook
from flows.story import Tone, tell
from tasks import platforms
from tasks.adapters.receiver import Limits, Receiver
from tasks.adapters.receiver_metrics import Backlog, ReceiverMetrics
from tasks.adapters.repositories_file import read_repositories, repositories_file
from tasks.errors import BakewellError, InvalidInputError
from tasks.ports import Journal
from tasks.pushes import Push, PushedService, Repositories, Repository
from tasks.receive.rules import concerned, is_of

AGAIN_SECONDS: Final = 2.0
AT_ONCE: Final = 200
"""Connections: more are answered 503 at once. Each may hold as much as a message may have."""


class NewestRepositories:
    """The file of repositories as it is now; while it cannot be read, as it was, and that is told once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp = self._stamped()
        self._last = read_repositories(file)

    def __call__(self) -> Repositories:
        if (stamp := self._stamped()) != self._stamp:
            self._stamp = stamp
            try:
                self._last = read_repositories(self._file)
            except InvalidInputError as error:
                tell(f"goes on with the repositories as they were: {error}", Tone.BAD)
        return self._last

    def _stamped(self) -> tuple[int, int]:
        try:
            found = self._file.stat()
        except OSError:
            return (0, 0)
        return found.st_mtime_ns, found.st_size


class Courier:
    """Delivers as soon as something was filed, and again until nothing is open. The keeper's chore does the same, later."""

    def __init__(self, again_seconds: float = AGAIN_SECONDS) -> None:
        self._again_seconds = again_seconds
        self._called, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._go, name="courier", daemon=True)

    def open(self, book: PushBook) -> None:
        self._book = book
        self._thread.start()

    def call(self) -> None:
        self._called.set()

    def close(self) -> None:
        self._closing.set()
        self._called.set()
        self._thread.join()

    def _go(self) -> None:
        journal = platforms.journal()
        while not self._closing.is_set():
            self._called.clear()
            if not self._deliver(journal):
                self._closing.wait(self._again_seconds)
            elif not self._book.last().open:
                self._called.wait()
            else:
                self._called.wait(self._again_seconds)

    def _deliver(self, journal: Journal) -> bool:
        """Could it? If Prefect does not answer, whoever pushes meanwhile does not have it asked more often."""
        try:
            for done in deliver_from(self._book, journal):
                tell(done)
            self._book.refresh()
        except BakewellError as error:
            tell(f"pushes could not be delivered: {error}; they are kept", Tone.WARN)
            return False
        return True


def concerned_of(push: Push, repository: Repository) -> tuple[PushedService, ...] | None:
    """None if the forge speaks of another repository."""
    return concerned(push, repository) if is_of(push, repository) else None


def backlog(book: PushBook) -> Backlog:
    """By the book as it was when last refreshed."""
    waiting = book.last().open.values()
    oldest = min((one.at for one in waiting), default=None)
    seconds = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0
    return Backlog(len(waiting), max(0.0, seconds))


def application(desk: Desk, limits: Limits) -> Starlette:
    """InvalidInputError if the file of repositories has mistakes: better said now than at the first push."""
    metrics = ReceiverMetrics(lambda: backlog(desk.book))
    repositories = NewestRepositories(repositories_file())
    return Receiver(desk, repositories, concerned_of, metrics, limits).application()


def serve(host: str, port: int, limits: Limits) -> None:
    """Until it is told to end (TERM, INT); what has come by then is filed."""
    courier = Courier()
    journal = platforms.journal()
    desk = Desk(journal, courier.call)
    app = application(desk, limits)
    listening = _listening(host, port)
    desk.open()
    courier.open(desk.book)
    print(f"listening on http://{host}:{listening.getsockname()[1]}", flush=True)
    config = uvicorn.Config(
        app,
        limit_concurrency=AT_ONCE,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=64 * 1024,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
    )
    for one in (signal.SIGTERM, signal.SIGINT):  # uvicorn ends, and then sends itself the signal
        signal.signal(one, lambda *_: None)
    with journal.kept_open():
        try:
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            desk.close()
            courier.close()


def _listening(host: str, port: int) -> socket.socket:
    """Answers leave at once: head and body are written one after the other, and without this the second would wait 40 ms for
    the first to be acknowledged (asyncio sees to it only for sockets that name their protocol, which this one does not)."""
    try:
        listening = socket.create_server((host, port), backlog=2048)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        raise InvalidInputError(
            f"asked to listen on {host}:{port}; found {error.strerror}; choose another"
            " $BAKEWELL_RECEIVER_PORT, or end what listens there"
        ) from error


def _number(name: str, default: int) -> int:
    given = os.environ.get(name, "") or str(default)
    if not given.isascii() or not given.isdigit():
        raise InvalidInputError(f"asked for ${name}={given!r}; it must be a whole number")
    return int(given)


def main() -> int:
    console.listen()
    logging.getLogger("bakewell").setLevel(logging.INFO)
    try:
        limits = Limits(
            body_bytes=_number("BAKEWELL_RECEIVER_BYTES", Limits.body_bytes),
            per_minute=_number("BAKEWELL_RECEIVER_PER_MINUTE", Limits.per_minute),
        )
        host = os.environ.get("BAKEWELL_RECEIVER_HOST") or "127.0.0.1"
        serve(host, _number("BAKEWELL_RECEIVER_PORT", 4300), limits)
    except BakewellError as error:
        console.show_error(error)
        return 2 if isinstance(error, InvalidInputError) else 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
