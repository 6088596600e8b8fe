"""Users' requests in memory: how instances of a digest behave, and what has been counted of them."""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tasks.model import FleetStatus, GroupStatus, Health, InstanceTraffic, LatencyHistogram

BOUNDS_MS: Final = (5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0)


@dataclass(frozen=True)
class Behaviour:
    """How every instance of one digest behaves. `latencies_ms` are taken in turn, one for each request.

    `pages` are answers by path; any other path answers `status` and `body`. `last_words` are the end of its log.
    """

    failure_share: float = 0.0
    latencies_ms: tuple[float, ...] = (20.0,)
    becomes_ready: bool = True
    status: int = 200
    body: str = "ok"
    pages: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    last_words: str = ""


@dataclass
class Counters:
    """Requests by group, instance and digest, fractions included: nothing is lost between two short looks.

    `lost` counts the requests that no ready instance was there for.
    """

    requests: dict[tuple[str, str, str], float] = field(default_factory=dict)
    lost: float = 0.0

    def serve(self, status: FleetStatus, requests: float) -> None:
        """Share out by weight, then evenly among the ready instances of a group, as a splitter does."""
        total = sum(group.weight for group in status.groups)
        if total == 0:
            self.lost += requests
        for group in status.groups:
            self._serve_group(group, requests * group.weight / max(total, 1))

    def _serve_group(self, group: GroupStatus, requests: float) -> None:
        ready = [one.name for one in group.instances if one.health is Health.READY]
        if not ready:
            self.lost += requests
        for name in ready:
            key = (group.name, name, group.artifact.digest)
            self.requests[key] = self.requests.get(key, 0.0) + requests / len(ready)

    def traffic(self, behaviour: Callable[[str], Behaviour]) -> tuple[InstanceTraffic, ...]:
        """Cumulative, whole requests, of all instances that ever answered one."""
        return tuple(
            _traffic(group, instance, int(requests), behaviour(digest))
            for (group, instance, digest), requests in sorted(self.requests.items())
            if requests >= 1
        )


def _traffic(group: str, instance: str, requests: int, behaviour: Behaviour) -> InstanceTraffic:
    failures = int(requests * behaviour.failure_share)
    return InstanceTraffic(group, instance, requests, failures, _histogram(requests, behaviour))


def _histogram(requests: int, behaviour: Behaviour) -> LatencyHistogram:
    counts, turns = [0] * (len(BOUNDS_MS) + 1), behaviour.latencies_ms
    for turn, latency in enumerate(turns):
        counts[bisect_left(BOUNDS_MS, latency)] += (requests + len(turns) - 1 - turn) // len(turns)
    return LatencyHistogram(BOUNDS_MS, tuple(counts))
