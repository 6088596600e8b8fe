"""The judge can be asked about a time that nobody observed, where a Prometheus remembers it."""

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.past import remembered
from flows.retelling import looks_at, placebo
from tasks import platforms
from tasks.adapters.memory import world_named
from tasks.errors import InvalidInputError, MetricsUnreadableError, NotFoundError
from tasks.model import Decision, Verdict
from tasks.observe.actions import budget_spent
from tasks.observe.burn import Start, may_start, windows
from tasks.recipes import Bake
from tasks.service import EnvironmentSpec, ErrorObjective, Observe, PlatformName, ServiceSpec
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
        looks = looks_at(course, "r1-b", spec)
        with pytest.raises(NotFoundError, match="seen were r1-a, r1-b, r1-c"):
            looks_at(course, "r1-z", spec)
    assert sum(one.requests for sample in course.seen for one in sample.instances) == 3 * 3 * 301
    assert (found.runs, found.false_alarms) == (3, 0)
    assert len(looks) == len(course.samples)
    assert Verdict.ROLL_BACK not in {one.judgement.verdict for one in looks}
    assert looks[-1].judgement.numbers["requests"] == 3 * 301


@pytest.mark.engine
@pytest.mark.slow
def test_what_prometheus_remembers_closes_the_start_gate_of_a_service_that_burns(
    tmp_path: Path,
) -> None:
    """An hour is looked at every 15 s: a service that is younger burns for nobody."""
    errors = ErrorObjective(objective=0.999)
    with scraped(tmp_path, [("r1", "r1-a")]) as ground:
        (exporter,) = ground.exporters.values()
        found, end = list[Decision[Start]](), time.monotonic() + 90
        while time.monotonic() < end and (not found or found[-1].answer is not Start.BURNING):
            exporter.served(100, 10)
            ground.settle()
            with suppress(MetricsUnreadableError):  # until it was scraped twice
                spent = budget_spent.fn(ground.environment, ground.source, windows(errors))
                found.append(may_start(spent, errors))
    assert found[-1].answer is Start.BURNING
    assert "burns its error budget" in found[-1].reason
    assert {one.answer for one in found[:-1]} <= {Start.UNKNOWN, Start.OPEN}


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
