"""An engine whose clock is years ahead: a Docker engine's socket, reached over TCP by way of one who changes the years in
its answers. A remote engine, as far as anybody can tell."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

YEARS = 20
"""A multiple of four: then every such span has the same number of days."""
DAYS_IN_FOUR_YEARS = 1461


def shifted(answer: bytes, years: int) -> bytes:
    """Same length, later years: in timestamps, and in `Created` of lists, which counts seconds."""
    this = datetime.now(UTC).year
    text = re.sub(rb'"%d(?=-\d\d-\d\dT)' % this, b'"%d' % (this + years), answer)
    more = years // 4 * DAYS_IN_FOUR_YEARS * 86_400
    return re.sub(rb'"Created":(\d{10})(?=\D)', lambda found: _later(found[1], more), text)


def _later(seconds: bytes, more: int) -> bytes:
    return b'"Created":%d' % (int(seconds) + more)


@contextmanager
def shifting_proxy(engine: str, years: int = YEARS) -> Iterator[str]:
    """Its address, as DOCKER_HOST has it. 0 years: only another way there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server, engine, years), daemon=True).start()
        try:
            yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)


def _serve(server: socket.socket, engine: str, years: int) -> None:
    with suppress(OSError):
        while True:
            user, _ = server.accept()
            there = socket.socket(socket.AF_UNIX)
            there.connect(engine.removeprefix("unix://"))
            for source, target, more in ((user, there, 0), (there, user, years)):
                threading.Thread(target=_pump, args=(source, target, more), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket, years: int) -> None:
    with suppress(OSError):
        while part := source.recv(1 << 20):
            target.sendall(shifted(part, years) if years else part)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
