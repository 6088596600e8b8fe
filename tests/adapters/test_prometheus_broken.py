"""A real Prometheus that is down or hangs, instances with wrong clocks, native histograms, and a real Envoy that is scraped."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tasks.adapters.envoy import proxy_of
from tasks.adapters.memory import World
from tasks.adapters.prometheus import PrometheusMetrics
from tasks.errors import MetricsUnreadableError
from tasks.model import Environment, Sample, Verdict
from tasks.sources import Exporter as Exports
from tasks.sources import PrometheusSource
from tests.support.engines import free_port, wait_for
from tests.support.envoy_ground import HERE, ask, envoy_home
from tests.support.exporter import PROTOBUF, Exporter, native
from tests.support.instances import serving
from tests.support.metrics_grounds import Scraped, scraped, status_of
from tests.support.prometheus import running_prometheus
from tests.support.prometheus_watch import CANARY, INSTANCES, Watch, serve

pytestmark = pytest.mark.engine

Lie = Callable[[Exporter], None]


def old_times(exporter: Exporter) -> None:
    """Its clock is a minute behind, and it insists on it."""
    at = round((time.time() - 60) * 1000)
    text = (exporter.page or b"").decode()
    exporter.says("".join(f"{line} {at}\n" for line in text.splitlines()))


def future_times(exporter: Exporter) -> None:
    at = round((time.time() + 300) * 1000)
    text = (exporter.page or b"").decode()
    exporter.says("".join(f"{line} {at}\n" for line in text.splitlines()))


# ---- down and slow -------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Scraped]:
    """A Prometheus to be broken."""
    with scraped(tmp_path, INSTANCES) as found:
        serve(found, requests=1000)
        found.settle()
        yield found


def test_a_server_that_hangs_or_is_gone_decides_nothing(own: Scraped) -> None:
    watch = Watch(own.metrics(timeout_seconds=1), own.environment)
    watch.look()
    own.prometheus.freeze()
    begun = time.monotonic()
    watch.look()
    assert time.monotonic() - begun < 3
    assert "found no whole answer within 1 s" in watch.blind
    own.prometheus.thaw()
    serve(own)
    own.settle()
    assert isinstance(watch.look(), Sample), "nothing was lost"
    own.prometheus.stop()
    watch.look()
    assert "found no answer (ConnectError" in watch.blind
    assert watch.judge().verdict is Verdict.KEEP_OBSERVING


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        (old_times, "r2-c has no requests any more, it had 1000: "),  # Prometheus drops them
        (future_times, "found the newest scrape of r2-c"),
    ],
    ids=["behind", "ahead"],
)
def test_an_instance_that_insists_on_a_wrong_clock_decides_nothing(
    own: Scraped, lie: Lie, told: str
) -> None:
    watch = Watch(own.metrics(), own.environment)
    watch.look()
    serve(own)
    lie(own.exporters[CANARY])
    time.sleep(5)  # what was scraped before grows stale first
    own.settle()
    assert not isinstance(watch.look(), Sample)
    assert told in watch.blind
    assert watch.judge().verdict is Verdict.KEEP_OBSERVING


# ---- a real exporter -----------------------------------------------------------------------------


def test_what_a_real_envoy_exports_is_what_its_preset_asks_for(tmp_path: Path) -> None:
    here, world, port = Environment("hello", "contract", "memory"), World(), free_port()
    with envoy_home(tmp_path) as home, serving(("r1", "r1-a")) as instances:
        proxy_of(home, HERE).route(port, [instances[0].endpoint], {"r1": 100})
        ask(port, "/", 4)
        ask(port, "/bad", 2)
        admin = (home / "environments" / HERE.key / "envoy" / "admin-address").read_text().strip()
        world.set_status(here, status_of([("r1", "r1-a", admin)]))
        with running_prometheus(
            tmp_path / "p", {"envoy": [admin]}, path="/stats/prometheus"
        ) as found:
            source = PrometheusSource(
                url=found.url, exporter=Exports.ENVOY, scrape_seconds=0.25, timeout_seconds=3
            )
            metrics = PrometheusMetrics(source, world.fleet)

            def measured() -> int:
                with suppress(MetricsUnreadableError):  # not scraped yet
                    return metrics.read(here).instances[0].latency.total
                return 0

            wait_for(lambda: measured() == 6, 30, "Envoy's histograms, which it merges every 5 s")
            (counted,) = metrics.read(here).instances
            assert (counted.requests, counted.failures) == (6, 2)
            assert counted.latency.bounds_ms[0] == 0.5


# ---- native histograms ---------------------------------------------------------------------------


def test_native_histograms_are_read_on_one_grid(tmp_path: Path) -> None:
    with scraped(tmp_path, INSTANCES[:2], features="native-histograms") as found:
        fine, coarse = found.exporters.values()
        # 8 buckets for each doubling, from 0.125 s; 1 for each, from 0.25 s
        fine.page = native({"200": 9, "500": 1}, 3, -23, [1, 2, 3, 4], zero=0)
        coarse.page = native({"200": 5, "500": 0}, 0, -1, [2, 3], zero=0)
        fine.kind = coarse.kind = PROTOBUF
        found.settle()
        read = found.metrics(latency="http_request_duration_seconds").read(found.environment)
    one, other = (each.latency for each in read.instances)
    assert one.bounds_ms == other.bounds_ms
    assert (one.total, other.total) == (10, 5)
    by_bound = dict(zip(one.bounds_ms, zip(one.counts, other.counts, strict=True), strict=False))
    assert {bound: counts for bound, counts in by_bound.items() if any(counts)} == {
        250.0: (10, 0),
        500.0: (0, 2),
        1000.0: (0, 3),
    }
