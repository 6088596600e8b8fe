"""The real Envoy: what is asked of it is what it does, nobody's request is lost, and every answer is counted once."""

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from flows.load import LoadGenerator
from tasks.adapters import process_table
from tasks.adapters.envoy import EnvoyMetrics, EnvoyProxy, binary, proxy_of
from tasks.adapters.probe import HttpProber
from tasks.errors import MetricsUnreadableError, RefusedError, TransientError
from tasks.model import Environment, InstanceTraffic
from tests.support.engines import free_port, missing
from tests.support.instances import Served, serving

pytestmark = pytest.mark.engine
HERE = Environment("hello", "envoy", "process")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder with a space in its name, as users have them."""
    try:
        binary()
    except RefusedError as error:
        missing(str(error))
    folder = tmp_path / "a home"
    folder.mkdir()
    yield folder
    proxy_of(folder, HERE).stop()


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


def ask(port: int, path: str = "/", times: int = 1) -> Counter[str]:
    """Who answered: the group, or the status where it is no 200."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        answers = [client.get(path) for _ in range(times)]
    return Counter(a.text if a.status_code == 200 else str(a.status_code) for a in answers)


def traffic(home: Path) -> dict[str, InstanceTraffic]:
    time.sleep(0.6)  # histograms follow at the next flush
    return {one.instance: one for one in EnvoyMetrics(home).read(HERE).instances}


def kill_envoy(home: Path) -> None:
    marks = {"BAKEWELL_HOME": str(home), "BAKEWELL_SPLITTER": "envoy"}
    (found,) = process_table.find(marks)
    os.kill(found.pid, signal.SIGKILL)
    while process_table.is_running(found):
        time.sleep(0.01)


def test_shares_are_those_that_were_asked_for_and_are_read_back(
    proxy: EnvoyProxy, three: list[Served], port: int
) -> None:
    endpoints = [one.endpoint for one in three]
    proxy.route(port, endpoints, {"r1": 80, "r2": 20})
    now = proxy.routed()
    assert now is not None
    assert (now.weights, now.listen_port) == ({"r1": 80, "r2": 20}, port)
    assert set(now.endpoints) == set(endpoints)
    seen = ask(port, times=1000)
    assert seen.keys() == {"r1", "r2"}
    assert 130 < seen["r2"] < 270, "five standard deviations around 200"


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


def test_requests_in_flight_are_finished_by_an_instance_that_is_taken_out(
    proxy: EnvoyProxy, three: list[Served], port: int
) -> None:
    one, _, other = (each.endpoint for each in three)
    proxy.route(port, [other], {"r2": 100})
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, port, "/slow") for _ in range(8)]
        time.sleep(0.4)
        proxy.route(port, [one], {"r1": 100})
        assert [answer.result() for answer in answers] == [Counter({"r2": 1})] * 8
    assert ask(port) == Counter({"r1": 1})


def test_an_instance_that_refuses_connections_is_passed_over_by_its_group(
    proxy: EnvoyProxy, three: list[Served], port: int
) -> None:
    proxy.route(port, [one.endpoint for one in three], {"r1": 100, "r2": 0})
    three[0].process.kill()
    three[0].process.wait()
    assert ask(port, times=50) == Counter({"r1": 50})


def test_a_group_whose_every_instance_is_dead_fails_and_the_failures_are_its_own(
    proxy: EnvoyProxy, home: Path, three: list[Served], port: int
) -> None:
    proxy.route(port, [one.endpoint for one in three], {"r1": 0, "r2": 100})
    three[2].process.kill()
    three[2].process.wait()
    assert ask(port, times=20) == Counter({"503": 20})
    seen = traffic(home)
    assert (seen["r2-a"].requests, seen["r2-a"].failures) == (20, 20)


def test_where_nothing_is_routed_users_are_told_so(proxy: EnvoyProxy, port: int) -> None:
    proxy.route(port, [], {})
    assert ask(port) == Counter({"503": 1})
    now = proxy.routed()
    assert now is not None
    assert now.weights == {}


def test_a_killed_envoy_is_seen_and_comes_back_on_the_same_port(
    proxy: EnvoyProxy, home: Path, three: list[Served], port: int
) -> None:
    endpoints = [one.endpoint for one in three]
    proxy.route(port, endpoints, {"r1": 70, "r2": 30})
    kill_envoy(home)
    assert proxy.routed() is None
    with pytest.raises(MetricsUnreadableError, match="hello in envoy"):
        EnvoyMetrics(home).read(HERE)
    proxy_of(home, HERE).route(port, endpoints, {"r1": 70, "r2": 30})
    assert ask(port, times=20).total() == 20


def test_a_taken_port_is_refused_by_its_number_and_by_who_has_it(
    proxy: EnvoyProxy, three: list[Served], port: int
) -> None:
    with (
        closing(socket.create_server(("127.0.0.1", port))),
        pytest.raises(RefusedError, match=rf"port {port}.*pid {os.getpid()}"),
    ):
        proxy.route(port, [three[0].endpoint], {"r1": 100})


def test_a_port_taken_by_another_envoy_is_refused_not_shared(
    proxy: EnvoyProxy, home: Path, three: list[Served], port: int
) -> None:
    other = Environment("hello", "other", "process")
    proxy.route(port, [three[0].endpoint], {"r1": 100})
    second = proxy_of(home, other)
    try:
        with pytest.raises(RefusedError, match=f"port {port}"):
            second.route(port, [three[2].endpoint], {"r2": 100})
    finally:
        second.stop()
    assert ask(port, times=20) == Counter({"r1": 20})


def test_half_a_configuration_left_by_a_crash_is_made_whole(
    proxy: EnvoyProxy, home: Path, three: list[Served], port: int
) -> None:
    endpoints = [one.endpoint for one in three]
    proxy.route(port, endpoints, {"r1": 100, "r2": 0})
    folder = home / "environments" / HERE.key / "envoy"
    (folder / ".cds.json").write_text("{ half")
    (folder / "cds.json").write_text('{"version_info": "x", "resources": [{"@type": "nonsense"}]}')
    assert ask(port) == Counter({"r1": 1}), "Envoy keeps what it had"
    proxy.route(port, endpoints, {"r1": 0, "r2": 100})
    assert ask(port, times=5) == Counter({"r2": 5})


def test_reading_it_back_takes_a_moment_only(
    proxy: EnvoyProxy, three: list[Served], port: int
) -> None:
    proxy.route(port, [one.endpoint for one in three], {"r1": 100, "r2": 0})
    began = time.monotonic()
    assert proxy.routed()
    assert time.monotonic() - began < 0.5


def test_an_instance_is_asked_past_the_splitter(three: list[Served]) -> None:
    prober, address = HttpProber(), three[2].endpoint.address
    assert prober.get(address, "/", 2) == (200, "r2")
    assert prober.get(address, "/bad", 2) == (500, "r2")
    with pytest.raises(TransientError, match="/slow"):
        prober.get(address, "/slow", 0.2)
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:9"):
        prober.get("127.0.0.1:9", "/", 1)
