"""The load generator against real servers that answer, fail, break, stall and restart: every request is counted once."""

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from flows.load import LoadGenerator, LoadSummary
from flows.users import Ended, Failure
from tasks.errors import InvalidInputError

ROOT = Path(__file__).resolve().parents[2]


class Shop(ThreadingHTTPServer):
    """Answers like a service, and counts what it answered."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Answers)
        self.answered: Counter[tuple[str, int]] = Counter()
        self.asked = 0
        self.lock = threading.Lock()
        self.connections: set[socket.socket] = set()
        self.answer: Callable[[int], tuple[str, int]] = lambda _number: ("1", 200)
        self.before_answer: Callable[[socket.socket, int], bool] = lambda _socket, _number: True

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections are broken on purpose."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Shop

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.request)

    def do_GET(self) -> None:
        shop = self.server
        with shop.lock:
            shop.asked += 1
            number = shop.asked
        if not shop.before_answer(self.request, number):
            self.close_connection = True
            return
        version, status = shop.answer(number)
        with shop.lock:
            shop.answered[version, status] += 1
        self.send_response(status)
        if version:
            self.send_header("x-version", version)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def opened(shop: Shop) -> Iterator[Shop]:
    thread = threading.Thread(target=shop.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield shop
    finally:
        shop.shutdown()
        thread.join()
        shop.server_close()


@pytest.fixture
def shop() -> Iterator[Shop]:
    with opened(Shop()) as shop:
        yield shop


def until(happened: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def reset(connection: socket.socket) -> None:
    """Close with a TCP reset instead of an orderly end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RD)
    os.close(connection.detach())


def seen(summary: LoadSummary) -> dict[tuple[str, int], int]:
    return {
        (version.version, status): count
        for version in summary.versions
        for status, count in version.statuses.items()
    }


def test_every_answer_is_counted_by_version_and_status(shop: Shop) -> None:
    shop.answer = lambda number: (
        "2" if number % 10 == 0 else "1",
        500 if number % 20 == 0 else 200,
    )
    with LoadGenerator(shop.url, 200, 4) as load:
        until(lambda: shop.asked >= 300)
        summary = load.stop()
    assert seen(summary) == dict(shop.answered)
    assert summary.ended is Ended.STOPPED
    assert summary.failures == 0
    assert summary.requests == shop.asked >= 300
    assert summary.errors == shop.answered["2", 500] >= 15
    assert len(shop.connections) == 4, "connections are kept alive"
    assert sum(version.latency.total for version in summary.versions) == summary.requests


def test_the_rate_is_kept_and_every_second_is_told(shop: Shop) -> None:
    with LoadGenerator(shop.url, 100, 4, max_seconds=3) as load:
        until(lambda: load.so_far().ended is not Ended.NOT_YET)
        summary = load.stop()
    assert summary.ended is Ended.TIME_OVER
    assert 150 <= summary.requests <= 304, (
        "a busy machine asks later; each user may end one request after time"
    )
    assert len(summary.series) in (3, 4)
    assert sum(version.requests for s in summary.series for version in s.versions) == shop.asked


def test_an_answer_without_a_version_is_the_splitters_own(shop: Shop) -> None:
    shop.answer = lambda _number: ("", 503)
    with LoadGenerator(shop.url, 100, 2) as load:
        until(lambda: shop.asked >= 20)
        summary = load.stop()
    assert [version.version for version in summary.versions] == [""]
    assert summary.errors == summary.requests == shop.asked


def test_a_reset_connection_is_a_failure_and_is_not_asked_again(shop: Shop) -> None:
    def break_every_tenth(connection: socket.socket, number: int) -> bool:
        if number % 10 == 0:
            reset(connection)
        return number % 10 != 0

    shop.before_answer = break_every_tenth
    with LoadGenerator(shop.url, 200, 4) as load:
        until(lambda: shop.asked >= 200)
        summary = load.stop()
    assert summary.failed == {Failure.BROKEN: shop.asked // 10}
    assert summary.requests == shop.asked, "a retry would be asked twice"
    assert seen(summary) == dict(shop.answered)


def test_an_idle_connection_closed_by_the_server_is_no_failure(shop: Shop) -> None:
    with LoadGenerator(shop.url, 20, 1) as load:
        for goal in (10, 20):
            until(lambda goal=goal: sum(shop.answered.values()) >= goal)  # type: ignore[misc]
            time.sleep(0.01)  # the answer is out; the next request is due 50 ms after this one
            for connection in list(shop.connections):
                connection.shutdown(socket.SHUT_RDWR)
            shop.connections.clear()
        until(lambda: sum(shop.answered.values()) >= 30)
        summary = load.stop()
    assert summary.failures == 0
    assert summary.requests == shop.asked


def test_a_stalled_answer_is_a_timeout_and_the_schedule_goes_on(shop: Shop) -> None:
    awake = threading.Event()

    def stall_the_fifth(_connection: socket.socket, number: int) -> bool:
        return number != 5 or not awake.wait(20)

    shop.before_answer = stall_the_fifth
    with LoadGenerator(shop.url, 100, 4, timeout_seconds=0.5) as load:
        until(lambda: shop.asked >= 150)
        summary = load.stop()
    awake.set()
    assert summary.failed == {Failure.TIMEOUT: 1}
    assert summary.requests == shop.asked


def test_when_all_connections_are_busy_requests_are_late_and_count_from_when_they_were_due(
    shop: Shop,
) -> None:
    def stall_the_fifth(_connection: socket.socket, number: int) -> bool:
        time.sleep(0.6 if number == 5 else 0)
        return True

    shop.before_answer = stall_the_fifth
    with LoadGenerator(shop.url, 50, 1) as load:
        until(lambda: shop.asked >= 60)
        summary = load.stop()
    assert summary.failures == 0
    assert summary.late >= 20, "30 requests were due while the only connection was busy"
    assert summary.slowest_ms >= 600
    slow = sum(
        count
        for bound, count in zip(
            (*summary.versions[0].latency.bounds_ms, 0),
            summary.versions[0].latency.counts,
            strict=True,
        )
        if bound >= 100
    )
    assert slow >= 20


def test_something_else_than_http_is_garbled() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answered = 0

        def babble() -> None:
            nonlocal answered
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"SSH-2.0-not-http\r\n\r\n")
                    answered += 1

        thread = threading.Thread(target=babble)
        thread.start()
        with LoadGenerator(f"http://127.0.0.1:{server.getsockname()[1]}/", 50, 1) as load:
            until(lambda: answered >= 10)
            summary = load.stop()
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert summary.failed == {Failure.GARBLED: answered}


def test_a_restart_shows_as_refused_connections_and_then_as_answers() -> None:
    first = Shop()
    port = first.server_address[1]
    with LoadGenerator(first.url, 100, 4) as load:
        with opened(first):
            until(lambda: first.asked >= 50)
        for connection in first.connections:
            connection.shutdown(socket.SHUT_RDWR)
        until(lambda: load.so_far().failed.get(Failure.REFUSED, 0) >= 20)
        with opened(Shop(port)) as second:
            second.answer = lambda _number: ("2", 200)
            until(lambda: second.asked >= 50)
            summary = load.stop()
    assert summary.failed[Failure.REFUSED] >= 20
    lost = second.asked - seen(summary)["2", 200]
    assert 0 <= lost <= summary.failed.get(Failure.BROKEN, 0), "each is told as answered or broken"
    assert summary.failed.get(Failure.GARBLED, 0) == 0
    assert summary.failed.get(Failure.TIMEOUT, 0) == 0


def test_a_killed_generator_is_lost_and_says_so(shop: Shop) -> None:
    with LoadGenerator(shop.url, 100, 2) as load:
        until(lambda: load.so_far().requests > 0)
        os.kill(load.pid, signal.SIGKILL)
        summary = load.stop()
    assert summary.ended is Ended.LOST
    assert summary.requests > 0, "what it told before is kept"
    assert "-9" in summary.problem


def test_stopping_twice_is_stopping_once(shop: Shop) -> None:
    with LoadGenerator(shop.url, 100, 2) as load:
        until(lambda: shop.asked > 0)
        assert load.stop() is load.stop() is load.so_far()


def test_it_ends_when_the_process_that_started_it_is_killed(shop: Shop) -> None:
    code = (
        "import sys, time\nfrom flows.load import LoadGenerator\n"
        "print(LoadGenerator(sys.argv[1], 50, 2).start().pid, flush=True)\ntime.sleep(60)"
    )
    command = [sys.executable, "-c", code, shop.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        until(lambda: shop.asked > 0)
        parent.kill()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize("url", ["https://example.org/", "ftp://x/", "localhost:80", "http:///x"])
def test_a_wrong_address_is_refused_before_anything_starts(url: str) -> None:
    with pytest.raises(InvalidInputError, match="http://host"):
        LoadGenerator(url)


def test_no_rate_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="above 0"):
        LoadGenerator("http://127.0.0.1:1/", 0)
