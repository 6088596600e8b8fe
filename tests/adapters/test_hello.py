"""The example service, as a process: it answers, it misbehaves as told, and it ends without losing a request."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from threading import Event
from typing import Final

import psutil
import pytest

HELLO: Final = Path(__file__).parents[2] / "deployments" / "services" / "hello"
EXIT_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Hello:
    """A running copy."""

    process: subprocess.Popen[str]
    port: int

    def ask(self, path: str, method: str = "GET") -> tuple[int, str, dict[str, str]]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, answer.read().decode(), headers
        finally:
            connection.close()


@contextmanager
def hello(folder: Path, **settings: object) -> Iterator[Hello]:
    for name in ("hello.py", "settings.json"):
        shutil.copy(HELLO / name, folder / name)
    file = folder / "settings.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    process = subprocess.Popen(
        [sys.executable, str(folder / "hello.py")],
        env={"PATH": os.environ["PATH"], "PORT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        found = re.search(r":(\d+)$", first.strip())
        assert found, first + process.stdout.read()
        yield Hello(process, int(found[1]))
    finally:
        process.kill()
        process.communicate()


def test_it_greets_with_its_version_and_counts(tmp_path: Path) -> None:
    with hello(tmp_path, greeting="Good <day>", version="7") as one:
        one.ask("/")
        status, page, headers = one.ask("/?from=a-link")
    assert status == 200
    assert "Good &lt;day&gt;!" in page
    assert (
        "This is version <strong>7</strong>. This copy has answered 2 requests in a moment" in page
    )
    assert headers["x-version"] == "7"
    assert headers["content-type"] == "text/html; charset=utf-8"


def test_the_smoke_test_of_its_service_file_passes(tmp_path: Path) -> None:
    with hello(tmp_path) as one:
        assert "This is version" in one.ask("/")[1]


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [("/healthz", 200, "ok\n"), ("/nothing", 404, "there are /, /slow and /healthz\n")],
)
def test_other_paths(tmp_path: Path, path: str, status: int, text: str) -> None:
    with hello(tmp_path) as one:
        assert one.ask(path)[:2] == (status, text)
        assert one.ask(path, "HEAD")[:2] == (status, "")


def test_an_old_client_is_told_that_its_connection_stays(tmp_path: Path) -> None:
    with hello(tmp_path) as one, socket.create_connection(("127.0.0.1", one.port), 5) as client:
        client.sendall(b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2)
        answers = client.makefile("rb")
        for _ in range(2):
            head = b"".join(iter(answers.readline, b"\r\n"))
            assert b"Connection: keep-alive\r\n" in head
            assert answers.read(3) == b"ok\n"
        answers.close()


def test_the_slow_path_is_slow(tmp_path: Path) -> None:
    with hello(tmp_path) as one:
        begin = time.monotonic()
        assert one.ask("/slow")[0] == 200
        assert time.monotonic() - begin >= 0.15


def test_a_bad_version_fails_as_often_as_told_but_stays_healthy(tmp_path: Path) -> None:
    with hello(tmp_path, failure_share=0.2) as one:
        found = [one.ask("/")[0] for _ in range(100)]
        assert one.ask("/healthz")[0] == 200
    assert found[:5] == [200, 200, 200, 200, 500], "a smoke test sees nothing of it"
    assert found.count(500) == 20


def test_a_slow_version_takes_as_long_as_told(tmp_path: Path) -> None:
    with hello(tmp_path, delay_ms=120) as one:
        begin = time.monotonic()
        one.ask("/")
        assert time.monotonic() - begin >= 0.12


def seconds_of(one: Hello, requests: int) -> list[float]:
    """How long each of these took."""
    found = []
    for _ in range(requests):
        begin = time.monotonic()
        one.ask("/")
        found.append(time.monotonic() - begin)
    return sorted(found)


def test_its_delay_has_a_spread_and_a_tail_and_everything_can_be_slower(tmp_path: Path) -> None:
    """Long enough that a busy machine adds little to it."""
    usual = {"delay_ms": 40, "delay_spread": 0.25, "tail_share": 0.2, "tail_factor": 5}
    with hello(tmp_path, **usual) as one:
        found = seconds_of(one, 60)
    assert 0.035 < found[30] < 0.15, "the usual delay"
    assert found[0] < 0.95 * found[30], "spread"
    assert 1 <= sum(seconds > 0.15 for seconds in found) <= 40, "the tail"
    with hello(tmp_path, **usual, delay_factor=5) as slower:
        assert seconds_of(slower, 10)[5] > 0.15


def test_a_late_fault_waits_until_the_copy_is_old_enough(tmp_path: Path) -> None:
    with hello(tmp_path, failure_share=1.0, faulty_after_seconds=1.5) as one:
        assert one.ask("/")[0] == 200
        time.sleep(1.5)
        assert one.ask("/")[0] == 500


def test_a_leak_grows_by_what_was_said(tmp_path: Path) -> None:
    with hello(tmp_path, leak_kb_per_request=1024) as one:
        one.ask("/")
        before = psutil.Process(one.process.pid).memory_info().rss
        for _ in range(20):
            one.ask("/")
        grown = psutil.Process(one.process.pid).memory_info().rss - before
    assert 15 * 2**20 < grown < 40 * 2**20


def test_it_ends_at_once_when_nobody_is_connected(tmp_path: Path) -> None:
    with hello(tmp_path) as one:
        one.ask("/")
        begin = time.monotonic()
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(EXIT_SECONDS) == 0
        assert time.monotonic() - begin < 2


def test_an_idle_connection_does_not_keep_it(tmp_path: Path) -> None:
    with hello(tmp_path) as one:
        idle = HTTPConnection("127.0.0.1", one.port, timeout=5)
        idle.request("GET", "/")
        idle.getresponse().read()
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(EXIT_SECONDS) == 0
        idle.close()


@dataclass
class Tally:
    """What one keep-alive client saw."""

    sent: int = 0
    answered: int = 0
    asked_to_close: bool = False


def keep_asking(port: int, path: str, pause: float, ended: Event) -> Tally:
    """Ask over one connection until the service asks to close it, as a proxy's pool does; never ask again."""
    tally, connection = Tally(), HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        while not tally.asked_to_close and not ended.is_set():
            tally.sent += 1
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            tally.answered += answer.status == 200
            tally.asked_to_close = answer.getheader("Connection") == "close"
            time.sleep(pause)
    finally:
        connection.close()
    return tally


def test_sigterm_under_load_loses_no_request(tmp_path: Path) -> None:
    kinds = [("/", 0.0)] * 4 + [("/", 0.2)] * 8 + [("/slow", 0.0)] * 8
    ended = Event()
    with hello(tmp_path) as one, ThreadPoolExecutor(len(kinds)) as pool:
        clients = [pool.submit(keep_asking, one.port, *kind, ended) for kind in kinds]
        time.sleep(0.6)
        one.process.send_signal(signal.SIGTERM)
        code = one.process.wait(EXIT_SECONDS)
        ended.set()
        tallies = [client.result() for client in clients]
    assert code == 0
    assert all(tally.asked_to_close for tally in tallies)
    assert [tally.answered for tally in tallies] == [tally.sent for tally in tallies]
    assert sum(tally.sent for tally in tallies) > 100


def test_new_connections_are_answered_while_it_drains_and_health_says_so(tmp_path: Path) -> None:
    with hello(tmp_path) as one, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(one.ask, "/slow")
        time.sleep(0.05)
        one.process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
        assert one.ask("/healthz")[:2] == (503, "draining\n")
        assert one.ask("/")[2]["connection"] == "close"
        assert slow.result()[0] == 200
        assert one.process.wait(EXIT_SECONDS) == 0


def test_its_locked_requirements_can_be_downloaded_as_wheels_that_run_anywhere(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps"]
    options = ["--only-binary", ":all:", "--dest", str(tmp_path), "--requirement"]
    done = subprocess.run(
        [*command, *options, str(HELLO / "requirements.txt")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert [wheel.name for wheel in tmp_path.iterdir()] == ["humanize-4.17.0-py3-none-any.whl"]
