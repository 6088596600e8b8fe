"""Users' requests through the real Envoy: none is lost while it changes, and every answer is counted once."""

import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from flows.load import LoadGenerator
from tasks.adapters.envoy import Endpoint, EnvoyMetrics, EnvoyProxy, proxy_of
from tests.support.engines import free_port
from tests.support.envoy_ground import HERE, ask, envoy_home, traffic
from tests.support.instances import Served, serving
from tests.support.patient import patient

pytestmark = pytest.mark.engine
USERS = 1200


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with envoy_home(tmp_path) as found:
        yield found


@pytest.fixture
def proxy(home: Path) -> EnvoyProxy:
    return proxy_of(home, HERE)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def three() -> Iterator[list[Served]]:
    with serving(("r1", "r1-a"), ("r1", "r1-b"), ("r2", "r2-a")) as found:
        yield found


def test_every_answer_is_counted_once_with_the_instance_that_gave_it(
    proxy: EnvoyProxy, home: Path, three: list[Served], port: int
) -> None:
    proxy.route(port, [one.endpoint for one in three], {"r1": 100, "r2": 0})
    ask(port, "/", 40)
    ask(port, "/bad", 20)
    proxy.route(port, [one.endpoint for one in three], {"r1": 0, "r2": 100})
    ask(port, "/", 10)
    ask(port, "/slow", 1)
    seen = traffic(home)
    assert seen["r1-a"].requests + seen["r1-b"].requests == 60
    assert seen["r1-a"].failures + seen["r1-b"].failures == 20
    assert abs(seen["r1-a"].requests - seen["r1-b"].requests) <= 6, "instances get equal shares"
    assert (seen["r2-a"].requests, seen["r2-a"].failures) == (11, 0)
    assert [one.latency.total for one in seen.values()] == [one.requests for one in seen.values()]
    slow = seen["r2-a"].latency
    above = [n for bound, n in zip(slow.bounds_ms, slow.counts, strict=False) if bound >= 1000]
    assert sum(above) == 1


@pytest.mark.slow
def test_no_request_is_lost_by_a_group_that_is_emptied_as_its_weight_goes(
    proxy: EnvoyProxy, three: list[Served], port: int
) -> None:
    one, _, other = (each.endpoint for each in three)
    proxy.route(port, [one], {"r1": 100})
    with LoadGenerator(f"http://127.0.0.1:{port}", 200) as load:
        time.sleep(0.5)
        for _ in range(20):
            proxy.route(port, [other], {"r1": 0, "r2": 100})
            time.sleep(0.05)
            proxy.route(port, [one], {"r1": 100, "r2": 0})
            time.sleep(0.05)
        seen = load.stop()
    assert (seen.failures, seen.errors) == (0, 0), seen.failed
    assert {one.version for one in seen.versions} == {"r1", "r2"}


def test_a_dead_instance_shows_in_its_counters_though_others_of_its_group_live(
    proxy: EnvoyProxy, home: Path, three: list[Served], port: int
) -> None:
    proxy.route(port, [one.endpoint for one in three], {"r1": 100, "r2": 0})
    three[0].process.kill()
    three[0].process.wait()
    with ThreadPoolExecutor(16) as pool:
        asked = sum(pool.map(lambda _: ask(port, times=10), range(16)), Counter[str]())
    seen = traffic(home)
    assert asked == Counter({"r1": 80, "503": 80}), "equal shares; nothing is tried again"
    assert (seen["r1-a"].requests, seen["r1-a"].failures) == (80, 80)
    assert (seen["r1-b"].requests, seen["r1-b"].failures) == (80, 0)


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        try:
            yield server
        finally:
            server.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept


def test_a_connection_that_breaks_in_the_middle_is_one_failure_of_its_instance(
    proxy: EnvoyProxy, home: Path, port: int
) -> None:
    def hang_up() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection:
                    connection.recv(4096)

    with ThreadPoolExecutor(1) as pool, listening() as server:
        pool.submit(hang_up)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        proxy.route(port, [Endpoint("r9", "r9-x", address)], {"r9": 100})
        assert ask(port, times=20) == Counter({"503": 20})
        seen = traffic(home)["r9-x"]
    assert (seen.requests, seen.failures) == (20, 20)


def test_envoy_ends_an_idle_connection_before_the_instance_would(
    proxy: EnvoyProxy, port: int
) -> None:
    def answer_once_then_wait() -> float:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(5)
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nr9")
            began = time.monotonic()
            assert connection.recv(1) == b"", "Envoy closes it"
            return time.monotonic() - began

    with ThreadPoolExecutor(1) as pool, listening() as server:
        kept = pool.submit(answer_once_then_wait)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        proxy.route(port, [Endpoint("r9", "r9-x", address)], {"r9": 100})
        assert ask(port) == Counter({"r9": 1})
        assert 0.5 < kept.result() < 2


def test_many_users_at_once_are_not_turned_away(proxy: EnvoyProxy, home: Path, port: int) -> None:
    """More than 1024, where Envoy by default answers 503 by itself, which no instance is charged for."""
    request = b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n"
    with patient(USERS, 10) as one:
        proxy.route(port, [Endpoint("r2", "r2-a", one.address)], {"r2": 100})
        users = [socket.create_connection(("127.0.0.1", port)) for _ in range(USERS)]
        try:
            for user in users:
                user.sendall(request)
            statuses = Counter(whole(user)[:12] for user in users)
        finally:
            for user in users:
                user.close()
        assert (one.most, statuses) == (USERS, {b"HTTP/1.1 200": USERS})
    assert traffic(home)["r2-a"].requests == USERS


def whole(user: socket.socket) -> bytes:
    return b"".join(iter(lambda: user.recv(65536), b""))


def test_counts_and_latencies_are_of_the_same_moment_under_load(
    proxy: EnvoyProxy, home: Path, three: list[Served], port: int
) -> None:
    proxy.route(port, [one.endpoint for one in three], {"r1": 50, "r2": 50})
    readings, took = [], []
    with LoadGenerator(f"http://127.0.0.1:{port}", 200):
        for _ in range(10):
            time.sleep(0.2)
            began = time.monotonic()
            found = EnvoyMetrics(home).read(HERE).instances
            readings.append({one.instance: one for one in found})
            took.append(time.monotonic() - began)
    for (before, now), seconds in zip(pairwise(readings), took[1:], strict=True):
        slack = 5 + 200 * seconds  # what ended while it was read
        for name, one in now.items():
            assert one.latency.total <= one.requests + slack
            # Envoy gathers them when asked, and on a busy machine answers before it has.
            asked = before[name].requests if name in before else 0
            assert one.latency.total >= asked - slack
    requests = [sum(one.requests for one in reading.values()) for reading in readings]
    assert requests == sorted(requests)
    assert requests[-1] > requests[0] + 100


@pytest.mark.slow
def test_no_request_is_lost_while_weights_move_and_instances_come_and_go(
    proxy: EnvoyProxy, three: list[Served], port: int
) -> None:
    one, two, other = (each.endpoint for each in three)
    proxy.route(port, [one], {"r1": 100})
    with LoadGenerator(f"http://127.0.0.1:{port}", 200) as load:
        time.sleep(1)
        for number in range(10):
            proxy.route(port, [one, two, other], {"r1": 100 - 10 * number, "r2": 10 * number})
            time.sleep(0.1)
            proxy.route(port, [two, other] if number % 2 else [one, other], {"r1": 0, "r2": 100})
            time.sleep(0.1)
            proxy.route(port, [one], {"r1": 100})
            time.sleep(0.1)
        seen = load.stop()
    assert (seen.failures, seen.errors) == (0, 0), seen.failed
    assert seen.requests > 500
    assert {one.version for one in seen.versions} == {"r1", "r2"}


def until_connected(address: str, count: int) -> None:
    """So many requests are being answered there: Envoy opens a connection for each."""
    port, end = int(address.rpartition(":")[2]), time.monotonic() + 20
    while time.monotonic() < end:
        found = [one for one in psutil.net_connections("tcp") if one.laddr[1:] == (port,)]
        if sum(one.status == psutil.CONN_ESTABLISHED for one in found) >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"{count} requests never reached {address}")


def test_requests_in_flight_are_finished_by_an_instance_that_is_taken_out(
    proxy: EnvoyProxy, three: list[Served], port: int
) -> None:
    one, _, other = (each.endpoint for each in three)
    proxy.route(port, [other], {"r2": 100})
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, port, "/slow") for _ in range(8)]
        until_connected(other.address, 8)
        proxy.route(port, [one], {"r1": 100})
        assert [answer.result() for answer in answers] == [Counter({"r2": 1})] * 8
    assert ask(port) == Counter({"r1": 1})


def test_a_group_whose_every_instance_is_dead_fails_and_the_failures_are_its_own(
    proxy: EnvoyProxy, home: Path, three: list[Served], port: int
) -> None:
    proxy.route(port, [one.endpoint for one in three], {"r1": 0, "r2": 100})
    three[2].process.kill()
    three[2].process.wait()
    assert ask(port, times=20) == Counter({"503": 20})
    seen = traffic(home)
    assert (seen["r2-a"].requests, seen["r2-a"].failures) == (20, 20)
    assert seen["r2-a"].latency.total == 0, "nobody answered"
