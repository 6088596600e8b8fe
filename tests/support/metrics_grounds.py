"""Where requests are counted: each way of counting them, with two groups of one instance to be counted."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tasks.adapters.envoy import EnvoyMetrics, proxy_of
from tasks.adapters.memory import World
from tasks.adapters.memory_traffic import Behaviour
from tasks.adapters.prometheus import SETTLE_SECONDS, PrometheusMetrics
from tasks.model import Artifact, Environment, FleetStatus, GroupStatus, Health, Instance
from tasks.ports import Metrics
from tasks.sources import PrometheusSource, Sli
from tests.support.engines import free_port, wait_for
from tests.support.envoy_ground import HERE, ask, envoy_home
from tests.support.exporter import Exporter, exporting
from tests.support.instances import serving
from tests.support.prometheus import SCRAPE_SECONDS, Prometheus, running_prometheus

START = datetime(2026, 1, 1, tzinfo=UTC)
FINE, HALF = "r1", "r2"
"""Every answer of the one group is fine, every second one of the other's fails. Its instance is `<group>-a`."""


@dataclass(frozen=True)
class MetricsGround:
    """`serve` lets a group's instance answer so many requests (an even number), `settle` returns when they can be read, `blind`
    makes the source unreadable."""

    metrics: Metrics
    environment: Environment
    serve: Callable[[str, int], None]
    settle: Callable[[], None]
    blind: Callable[[], None]


def artifact(group: str) -> Artifact:
    return Artifact("hello", f"sha256:{group * 32}", "memory:hello")


def status_of(instances: Sequence[tuple[str, str, str]], weight: int = 50) -> FleetStatus:
    """Ready instances by group, name and address; each group with so much traffic."""
    groups = dict.fromkeys(group for group, _, _ in instances)
    return FleetStatus(
        tuple(
            GroupStatus(
                group,
                artifact(group),
                weight,
                tuple(
                    Instance(name, Health.READY, address, START)
                    for owner, name, address in instances
                    if owner == group
                ),
            )
            for group in groups
        )
    )


@contextmanager
def memory_ground(folder: Path) -> Iterator[MetricsGround]:
    world, environment = World(), Environment("hello", "contract", "memory")
    world.demand_per_second = 0
    world.behaviours[artifact(HALF).digest] = Behaviour(failure_share=0.5)
    world.set_status(environment, status_of([(one, f"{one}-a", one) for one in (FINE, HALF)]))

    def serve(group: str, requests: int) -> None:
        key = (group, f"{group}-a", artifact(group).digest)
        counted = world.place(environment).counters.requests
        counted[key] = counted.get(key, 0) + requests

    def blind() -> None:
        world.metrics_outage = "as told to"

    yield MetricsGround(world.metrics, environment, serve, lambda: None, blind)


@contextmanager
def envoy_ground(folder: Path) -> Iterator[MetricsGround]:
    port = free_port()
    with (
        envoy_home(folder) as home,
        serving((FINE, f"{FINE}-a"), (HALF, f"{HALF}-a")) as instances,
    ):
        proxy, endpoints = proxy_of(home, HERE), [one.endpoint for one in instances]
        proxy.route(port, endpoints, {FINE: 100, HALF: 0})
        metrics, served = EnvoyMetrics(home), Counter[str]()

        def serve(group: str, requests: int) -> None:
            proxy.route(port, endpoints, {FINE: 100 * (group == FINE), HALF: 100 * (group == HALF)})
            bad = requests // 2 if group == HALF else 0
            ask(port, "/bad", bad)
            ask(port, "/", requests - bad)
            served[group] += requests

        def settled() -> bool:
            """Who has an answer is counted a moment later, and its latency another moment later."""
            found = metrics.read(HERE).instances
            return all(one.requests == one.latency.total == served[one.group] for one in found)

        yield MetricsGround(
            metrics, HERE, serve, lambda: wait_for(settled, 10, "Envoy's counts"), proxy.stop
        )


@dataclass(frozen=True)
class Scraped:
    """Instances that a real Prometheus scrapes. `source` fits it."""

    prometheus: Prometheus
    exporters: dict[str, Exporter]
    environment: Environment
    world: World
    source: PrometheusSource

    def metrics(self, slis: Sequence[Sli] = (), **changes: object) -> PrometheusMetrics:
        source = PrometheusSource.model_validate({**self.source.model_dump(), **changes})
        return PrometheusMetrics(source, self.world.fleet, slis)

    def settle(self, scrapes: int = 1) -> None:
        """Until everybody was scraped again, and a reading evaluated behind that can be had."""
        wanted = {name: one.scrapes + scrapes + 1 for name, one in self.exporters.items()}
        wait_for(
            lambda: all(self.exporters[name].scrapes >= count for name, count in wanted.items()),
            20,
            "scrapes",
        )
        time.sleep(SETTLE_SECONDS + 2 * SCRAPE_SECONDS)


@contextmanager
def scraped(
    folder: Path,
    instances: Sequence[tuple[str, str]],
    *,
    features: str = "",
    jobs: Sequence[str] = ("hello",),
) -> Iterator[Scraped]:
    """Instances by group and name, that have served nothing yet."""
    environment, world = Environment("hello", "contract", "memory"), World()
    world.demand_per_second = 0
    with exporting(len(instances)) as found:
        exporters = {name: one for (_, name), one in zip(instances, found, strict=True)}
        for one in found:
            one.served(0)
        placed = [(group, name, exporters[name].address) for group, name in instances]
        world.set_status(environment, status_of(placed))
        addresses = [one.address for one in found]
        with running_prometheus(
            folder / "prometheus", dict.fromkeys(jobs, addresses), features=features
        ) as prometheus:
            source = PrometheusSource(
                url=prometheus.url,
                selector={"job": "hello"},
                scrape_seconds=SCRAPE_SECONDS,
                max_staleness_seconds=4,
                timeout_seconds=3,
            )
            yield Scraped(prometheus, exporters, environment, world, source)


@contextmanager
def prometheus_ground(folder: Path) -> Iterator[MetricsGround]:
    with scraped(folder, [(FINE, f"{FINE}-a"), (HALF, f"{HALF}-a")]) as found:

        def serve(group: str, requests: int) -> None:
            bad = requests // 2 if group == HALF else 0
            found.exporters[f"{group}-a"].served(requests - bad, bad)

        found.settle()
        yield MetricsGround(
            found.metrics(), found.environment, serve, found.settle, found.prometheus.stop
        )
