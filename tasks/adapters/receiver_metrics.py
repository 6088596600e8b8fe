"""What the receiver counts of itself, for Prometheus."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


@dataclass(frozen=True)
class Backlog:
    """Accepted pushes that no run has taken yet: how many, and for how long the oldest has waited."""

    pending: int
    oldest_seconds: float


class ReceiverMetrics:
    """`backlog` is asked whenever somebody reads them."""

    def __init__(self, backlog: Callable[[], Backlog]) -> None:
        self._registry = CollectorRegistry()
        self._messages = Counter(
            "bakewell_receiver_messages",
            "Messages to webhooks, by how they were answered.",
            ["outcome"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "bakewell_receiver_answer_seconds",
            "From the first byte of a message to its answer.",
            buckets=BUCKETS,
            registry=self._registry,
        )
        pending = Gauge(
            "bakewell_pushes_pending",
            "Accepted pushes that no run has taken yet.",
            registry=self._registry,
        )
        oldest = Gauge(
            "bakewell_pushes_oldest_seconds",
            "For how long the oldest of them has waited.",
            registry=self._registry,
        )
        pending.set_function(lambda: float(backlog().pending))
        oldest.set_function(lambda: backlog().oldest_seconds)

    def answered(self, outcome: str, seconds: float) -> None:
        self._messages.labels(outcome).inc()
        self._seconds.observe(seconds)

    def page(self) -> bytes:
        return generate_latest(self._registry)
