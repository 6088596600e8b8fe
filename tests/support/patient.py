"""An instance that answers nobody until so many ask at once: no thread for each, so it can be thousands."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
BACKLOG = 4096


class Patient:
    """`most` is how many waited at once so far."""

    def __init__(self, wanted: int, seconds: float) -> None:
        self.most = 0
        self.address = ""
        self._wanted, self._seconds = wanted, seconds
        self._enough = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.most += 1
        if self.most >= self._wanted:
            self._enough.set()
        try:
            await asyncio.wait_for(self._enough.wait(), self._seconds)
        except TimeoutError:
            self._enough.set()  # nobody else will come
        writer.write(ANSWER)
        await writer.drain()
        writer.close()


@contextmanager
def patient(wanted: int, seconds: float) -> Iterator[Patient]:
    """Serves until the block is left. After `seconds` it answers those who came."""
    loop, begun = asyncio.new_event_loop(), threading.Event()
    found = Patient(wanted, seconds)

    async def serve() -> None:
        server = await asyncio.start_server(found.answer, "127.0.0.1", 0, backlog=BACKLOG)
        found.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        begun.set()
        async with server:
            await over.wait()

    over = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert begun.wait(10), "it never listened"
        yield found
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()
