"""The judge can be asked about a time that nobody observed, where a Prometheus remembers it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.past import remembered
from flows.retelling import placebo
from tasks import platforms
from tasks.adapters.memory import world_named
from tasks.errors import InvalidInputError, NotFoundError
from tasks.service import Bake, EnvironmentSpec, Observe, PlatformName, ServiceSpec
from tests.support.metrics_grounds import scraped

QUICK = Observe(interval_seconds=0.25, batch_seconds=0.25, warm_up_seconds=0)


def service(name: str, place: EnvironmentSpec) -> ServiceSpec:
    bake = Bake(files={"a": "/a"}, command=["/a"])
    return ServiceSpec(service=name, bake=bake, environments=(place,))


@pytest.mark.engine
def test_each_instance_plays_the_canary_in_what_prometheus_remembers(tmp_path: Path) -> None:
    with scraped(tmp_path, [("r1", f"r1-{letter}") for letter in "abc"]) as ground:
        place = EnvironmentSpec(
            name="production", platform=PlatformName.MEMORY, observe=QUICK, metrics=ground.source
        )
        spec = service("remembered", place)
        status = ground.world.place(ground.environment).status
        world_named(str(platforms.home())).set_status(spec.place(place), status)
        ground.settle()
        start = datetime.now(UTC)
        for _ in range(3):
            for one in ground.exporters.values():
                one.served(300, 1)
            ground.settle()
        course = remembered(spec, place, start, None)
        found = placebo([course], spec, QUICK)
    assert sum(one.requests for sample in course.seen for one in sample.instances) == 3 * 3 * 301
    assert (found.runs, found.false_alarms) == (3, 0)


def test_a_past_that_nobody_remembers_is_refused() -> None:
    place = EnvironmentSpec(name="production", platform=PlatformName.MEMORY)
    now = datetime.now(UTC)
    with pytest.raises(
        InvalidInputError, match="has no `metrics`, and its splitter remembers nothing"
    ):
        remembered(service("forgetful", place), place, now - timedelta(hours=1), now)


def test_times_in_the_wrong_order_and_a_place_that_serves_nothing_are_told() -> None:
    place = EnvironmentSpec.model_validate(
        {
            "name": "production",
            "platform": PlatformName.MEMORY,
            "metrics": {"url": "http://127.0.0.1:1"},
        }
    )
    spec, now = service("nothing-there", place), datetime.now(UTC)
    with pytest.raises(InvalidInputError, match="must not be over before it begins"):
        remembered(spec, place, now, now - timedelta(hours=1))
    with pytest.raises(NotFoundError, match="nothing serves nothing-there in production now"):
        remembered(spec, place, now - timedelta(hours=1), now)
