"""What everybody who counts requests must do (the Metrics port). One suite for all of them.

To hold another source to it, write a context manager that yields a `MetricsGround` and add it to GROUNDS.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path

import pytest

from tasks.errors import MetricsUnreadableError
from tasks.model import InstanceTraffic, Reading, Sample
from tasks.observe.scrapes import following
from tests.support.metrics_grounds import (
    FINE,
    HALF,
    MetricsGround,
    envoy_ground,
    memory_ground,
    prometheus_ground,
)

GROUNDS = [
    pytest.param(memory_ground, id="memory"),
    pytest.param(envoy_ground, id="envoy", marks=pytest.mark.engine),
    pytest.param(prometheus_ground, id="prometheus", marks=pytest.mark.engine),
]


@pytest.fixture(params=GROUNDS)
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MetricsGround]:
    enter: Callable[[Path], AbstractContextManager[MetricsGround]] = request.param
    with enter(tmp_path) as found:
        found.serve(FINE, 2)  # whoever answered nothing yet need not be there
        found.serve(HALF, 2)
        found.settle()
        yield found


def read(ground: MetricsGround) -> Reading:
    return ground.metrics.read(ground.environment)


def since(before: Reading, after: Reading) -> dict[str, InstanceTraffic]:
    """By instance."""
    found = following(before, after).sample
    assert isinstance(found, Sample), found
    return {one.instance: one for one in found.instances}


def test_every_answer_is_counted_once_with_the_instance_that_gave_it(ground: MetricsGround) -> None:
    before = read(ground)
    ground.serve(FINE, 10)
    ground.serve(HALF, 20)
    ground.settle()
    found = since(before, read(ground))
    assert {name: (one.group, one.requests, one.failures) for name, one in found.items()} == {
        "r1-a": ("r1", 10, 0),
        "r2-a": ("r2", 20, 10),
    }


def test_every_answer_has_a_latency(ground: MetricsGround) -> None:
    before = read(ground)
    ground.serve(FINE, 10)
    ground.settle()
    latency = since(before, read(ground))["r1-a"].latency
    assert latency.total == 10
    assert len(latency.counts) == len(latency.bounds_ms) + 1
    assert list(latency.bounds_ms) == sorted(set(latency.bounds_ms))


def test_looking_again_invents_no_request(ground: MetricsGround) -> None:
    readings = [read(ground) for _ in range(5)]
    for before, after in pairwise(readings):
        found = following(before, after).sample
        assert found is None or (
            isinstance(found, Sample) and {one.requests for one in found.instances} == {0}
        )


def test_silence_is_seen_and_is_not_blindness(ground: MetricsGround) -> None:
    before = read(ground)
    ground.serve(FINE, 4)
    ground.settle()
    found = since(before, read(ground))
    assert (found["r1-a"].requests, found["r2-a"].requests) == (4, 0)


def test_a_source_that_cannot_be_read_is_told(ground: MetricsGround) -> None:
    ground.blind()
    with pytest.raises(MetricsUnreadableError) as told:
        read(ground)
    assert len(str(told.value)) > 40
