"""Asking one instance: its answer, the first 64 kB of it, or that there was none."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.adapters.probe import MOST_BYTES, HttpProber
from tasks.errors import TransientError
from tests.support.instances import Served, serving


@pytest.fixture
def three() -> Iterator[list[Served]]:
    with serving(("r1", "r1-a"), ("r1", "r1-b"), ("r2", "r2-a")) as found:
        yield found


def test_an_instance_is_asked_past_the_splitter(three: list[Served]) -> None:
    prober, address = HttpProber(), three[2].endpoint.address
    assert prober.get(address, "/", 2) == (200, "r2")
    assert prober.get(address, "/bad", 2) == (500, "r2")
    with pytest.raises(TransientError, match="/slow"):
        prober.get(address, "/slow", 0.2)
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:9"):
        prober.get("127.0.0.1:9", "/", 1)


def test_of_an_answer_without_end_only_the_beginning_is_read() -> None:
    def pour() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                while True:
                    connection.sendall(b"x" * 65536)
            except OSError:
                return  # who asked has hung up

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        poured = pool.submit(pour)
        status, body = HttpProber().get(f"127.0.0.1:{server.getsockname()[1]}", "/", 2)
        poured.result(timeout=10)
    assert (status, len(body)) == (200, MOST_BYTES)


@pytest.mark.parametrize("address", ["not an address", "127.0.0.1:99999", "[::1:8080"])
def test_an_address_that_is_none_answered_nothing(address: str) -> None:
    with pytest.raises(TransientError, match="asked http://"):
        HttpProber().get(address, "/", 1)
