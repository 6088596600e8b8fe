"""The past of a real Prometheus: the same samples as if somebody had looked all the time, and sums for error budgets."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from tasks.adapters.prometheus_answers import Series
from tasks.adapters.prometheus_past import totals_in
from tasks.errors import MetricsUnreadableError
from tasks.model import GroupStatus, Sample, Unseen
from tasks.observe.actions import budget_spent
from tasks.observe.scrapes import samples_of
from tasks.ports import WindowTotals
from tests.support.metrics_grounds import Scraped, scraped

INSTANCES = [("r1", "r1-a"), ("r1", "r1-b"), ("r2", "r2-c")]


@dataclass(frozen=True)
class Lived:
    """A Prometheus with a past: requests, a scrape that failed, a restart."""

    ground: Scraped
    start: datetime
    end: datetime

    @property
    def groups(self) -> tuple[GroupStatus, ...]:
        ground = self.ground
        return ground.world.place(ground.environment).status.groups

    def samples(self) -> tuple[Sample | Unseen, ...]:
        return samples_of(self.ground.metrics().history(self.groups, self.start, self.end))


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    with scraped(tmp_path_factory.mktemp("past"), INSTANCES) as ground:
        ground.settle()
        start, one = datetime.now(UTC), ground.exporters["r2-c"]
        for bad in (0, 5, 1):
            for each in ground.exporters.values():
                each.served(100 - bad, bad, slow=10)
            ground.settle()
        page, one.page = one.page, None
        ground.settle()
        one.page = page
        ground.settle()
        ground.exporters["r1-b"].counts.clear()
        ground.exporters["r1-b"].served(30, 2)
        ground.settle(3)
        yield Lived(ground, start, datetime.now(UTC))


@pytest.mark.engine
def test_every_event_of_the_past_is_in_exactly_one_batch(lived: Lived) -> None:
    counted: dict[str, list[int]] = {}
    for sample in lived.samples():
        for one in sample.instances if isinstance(sample, Sample) else ():
            sums = counted.setdefault(one.instance, [0, 0, 0])
            sums[0] += one.requests
            sums[1] += one.failures
            sums[2] += one.latency.total
    assert counted == {"r1-a": [300, 6, 300], "r1-b": [332, 8, 332], "r2-c": [300, 6, 300]}


@pytest.mark.engine
def test_a_scrape_that_was_missed_is_a_batch_for_nobody(lived: Lived) -> None:
    unseen = [one.reason for one in lived.samples() if isinstance(one, Unseen)]
    assert any("no scrape of r2-c" in reason for reason in unseen), unseen
    together = [one.instances for one in lived.samples() if isinstance(one, Sample)]
    assert {len(one) for one in together} == {3}


@pytest.mark.engine
def test_a_time_before_everything_has_nothing_to_see(lived: Lived) -> None:
    long_ago = lived.start - timedelta(days=2)
    found = lived.ground.metrics().history(lived.groups, long_ago, long_ago + timedelta(seconds=2))
    assert {type(one) for one in found} == {Unseen}


@pytest.mark.engine
def test_a_long_time_is_asked_in_parts(lived: Lived) -> None:
    start = lived.end - timedelta(seconds=180)
    found = lived.ground.metrics().history(lived.groups, start, lived.end)
    assert len(found) >= 700
    assert [one.at for one in found] == sorted({one.at for one in found})


@pytest.mark.engine
def test_the_totals_of_a_window_are_what_was_answered_in_it(lived: Lived) -> None:
    seconds = (datetime.now(UTC) - lived.start).total_seconds() + 3
    assert lived.ground.metrics().totals(seconds) == WindowTotals(failures=20, requests=932)


@pytest.mark.engine
def test_totals_of_nothing_are_not_zero(lived: Lived) -> None:
    assert lived.ground.metrics(selector={"job": "another"}).totals(60) is None
    asked = lived.ground.source.model_copy(update={"selector": {"job": "another"}})
    with pytest.raises(MetricsUnreadableError, match="found no target that was scraped twice"):
        budget_spent.fn(lived.ground.environment, asked, (60.0, 120.0))


# ---- sums of recorded series ---------------------------------------------------------------------


def series(part: str, target: str, *values: float) -> Series:
    return Series({"bakewell": part, "job": target}, {float(n): v for n, v in enumerate(values)})


def test_a_restart_counts_from_zero_and_a_small_fall_counts_nothing() -> None:
    found = [series("requests", "a", 10, 100, 20, 30), series("requests", "b", 100, 99, 101)]
    assert totals_in(found) == WindowTotals(0, 90 + 20 + 10 + 2)


def test_failures_that_came_to_be_in_the_window_are_counted_from_zero() -> None:
    later = Series({"bakewell": "failures", "job": "a"}, {2.0: 3.0, 3.0: 5.0})
    assert totals_in([series("requests", "a", 10, 20, 30, 40), later]) == WindowTotals(5, 30)


def test_a_target_that_was_seen_once_has_no_past() -> None:
    assert totals_in([series("requests", "a", 1_000_000)]) is None
