"""The real Envoy: what is asked of it is what it does, it survives its death and ours, and what is in its way is told."""

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

import httpx
import pytest

from tasks.adapters.envoy import LOG_BYTES, Endpoint, EnvoyMetrics, EnvoyProxy, proxy_of
from tasks.errors import MetricsUnreadableError, RefusedError, TransientError
from tasks.model import Environment
from tests.support.engines import free_port
from tests.support.envoy_ground import HERE, ask, envoy_home, envoy_of, kill_envoy
from tests.support.instances import Served, serving

pytestmark = pytest.mark.engine


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
    took = []
    for _ in range(20):
        began = time.monotonic()
        assert proxy.routed()
        took.append(time.monotonic() - began)
    assert median(took) < 0.05


def test_an_instance_may_have_the_address_of_one_that_is_gone(
    proxy: EnvoyProxy, three: list[Served], port: int
) -> None:
    address = three[0].endpoint.address
    proxy.route(port, [Endpoint("r1", "r1-old", address)], {"r1": 100})
    proxy.route(port, [Endpoint("r1", "r1-new", address)], {"r1": 0})
    now = proxy.routed()
    assert now is not None
    assert now.endpoints == (Endpoint("r1", "r1-new", address),)


def test_users_follow_to_another_port_and_the_old_one_is_closed(
    proxy: EnvoyProxy, three: list[Served], port: int
) -> None:
    proxy.route(port, [three[0].endpoint], {"r1": 100})
    proxy.route(other := free_port(), [three[0].endpoint], {"r1": 100})
    assert ask(other) == Counter({"r1": 1})
    with pytest.raises(httpx.ConnectError):
        ask(port)


def test_an_envoy_that_hangs_is_not_taken_for_a_stranger_on_its_port(
    proxy: EnvoyProxy, home: Path, three: list[Served], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.adapters.envoy.ANSWER_SECONDS", 0.2)
    monkeypatch.setattr("tasks.adapters.envoy.WAKE_SECONDS", 0.5)
    proxy.route(port, [three[0].endpoint], {"r1": 100})
    pid = envoy_of(home).pid
    os.kill(pid, signal.SIGSTOP)
    try:
        assert proxy.routed() is None
        with pytest.raises(MetricsUnreadableError, match="does not answer"):
            EnvoyMetrics(home).read(HERE)
        with pytest.raises(TransientError, match=f"pid {pid}.*does not answer"):
            proxy.route(port, [three[0].endpoint], {"r1": 100})
    finally:
        os.kill(pid, signal.SIGCONT)
    proxy.route(port, [three[2].endpoint], {"r2": 100})
    assert ask(port) == Counter({"r2": 1})


@pytest.mark.parametrize("left", ["{}", "[]", '"words"', '{"resources": [1]}', "", "{ half"])
def test_nonsense_in_its_files_is_written_over(
    proxy: EnvoyProxy, home: Path, three: list[Served], port: int, left: str
) -> None:
    proxy.route(port, [three[0].endpoint], {"r1": 100})
    (home / "environments" / HERE.key / "envoy" / "rds.json").write_text(left)
    proxy.route(port, [three[2].endpoint], {"r2": 100})
    assert ask(port) == Counter({"r2": 1})


@pytest.mark.parametrize(
    ("instance", "weights"),
    [
        ("r1.a", {"r1": 100}),
        ("r1-a", {"r1": 150, "r2": -50}),
        ("r1-a", {"r1": 50}),
        ("r1-a", {"../r1": 100}),
    ],
)
def test_what_envoy_would_not_do_or_not_count_is_refused_before_anything_changes(
    proxy: EnvoyProxy, home: Path, port: int, instance: str, weights: dict[str, int]
) -> None:
    with pytest.raises(RefusedError, match="nothing was changed"):
        proxy.route(port, [Endpoint("r1", instance, "127.0.0.1:9")], weights)
    assert list(home.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused_by_its_name(
    proxy: EnvoyProxy, home: Path, port: int
) -> None:
    (home / "environments").write_text("a file, where a folder should be")
    with pytest.raises(RefusedError, match="environments"):
        proxy.route(port, [], {})


def test_the_log_of_an_envoy_that_runs_is_kept_short(
    proxy: EnvoyProxy, home: Path, three: list[Served], port: int
) -> None:
    proxy.route(port, [three[0].endpoint], {"r1": 100})
    log = home / "environments" / HERE.key / "envoy" / "envoy.log"
    with log.open("a") as more:
        more.write("x" * (LOG_BYTES + 1))
    proxy.route(port, [three[2].endpoint], {"r2": 100})
    assert log.stat().st_size < 1000
    assert log.with_suffix(".log.1").stat().st_size > LOG_BYTES


def test_a_long_path_is_no_obstacle(home: Path, three: list[Served], port: int) -> None:
    far = home / ("x" * 120) / ("y" * 120)
    proxy = proxy_of(far, HERE)
    try:
        proxy.route(port, [three[0].endpoint], {"r1": 100})
        assert ask(port) == Counter({"r1": 1})
    finally:
        proxy.stop()
