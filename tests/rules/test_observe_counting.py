"""Counters become samples, and samples become sums, without inventing or losing a request."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.model import InstanceTraffic, LatencyHistogram, Reading, Sample, Unseen
from tasks.observe.counting import (
    add,
    difference,
    quantile_ms,
    share_within,
    surely_above,
    surely_within,
    totals,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
BOUNDS = (10.0, 100.0)
counts = st.tuples(*[st.integers(0, 1000)] * 3)


def reading(second: float, *instances: InstanceTraffic) -> Reading:
    return Reading(NOON + timedelta(seconds=second), instances)


def counted(
    requests: int, failures: int = 0, *latency: int, instance: str = "i1"
) -> InstanceTraffic:
    seen = LatencyHistogram(BOUNDS, latency) if latency else LatencyHistogram()
    return InstanceTraffic("r1", instance, requests, failures, seen)


def test_a_sample_is_what_happened_between_two_readings() -> None:
    found = difference(reading(0, counted(10, 1, 5, 3, 2)), reading(9.5, counted(30, 2, 20, 8, 2)))
    assert found == Sample(NOON + timedelta(seconds=9.5), 9.5, (counted(20, 1, 15, 5, 0),))


@pytest.mark.parametrize(
    "after",
    [counted(5, 0, 2, 2, 1), counted(12, 0, 12, 0, 0), counted(12, 2, 4, 6, 2)],
    ids=["requests fell", "failures fell", "a bucket fell"],
)
def test_a_counter_that_fell_was_restarted_and_counts_from_zero(after: InstanceTraffic) -> None:
    found = difference(reading(0, counted(10, 1, 5, 3, 2)), reading(10, after))
    assert found.instances == (after,)


def test_an_instance_that_appeared_counts_from_zero_and_one_that_vanished_is_left_out() -> None:
    before, after = counted(10, instance="old"), counted(4, instance="new")
    assert difference(reading(0, before), reading(10, after)).instances == (after,)


def test_instances_of_one_name_in_two_groups_are_two() -> None:
    other = InstanceTraffic("r2", "i1", 7, 0)
    found = difference(reading(0, counted(10)), reading(10, counted(12), other))
    assert found.instances == (counted(2), other)


def test_changed_bounds_are_compared_over_those_that_both_have() -> None:
    before = InstanceTraffic("r1", "i1", 10, 0, LatencyHistogram((10.0, 50.0, 100.0), (4, 3, 2, 1)))
    after = InstanceTraffic("r1", "i1", 20, 0, LatencyHistogram((10.0, 20.0, 100.0), (6, 4, 6, 4)))
    (found,) = difference(reading(0, before), reading(10, after)).instances
    assert found.latency == LatencyHistogram((10.0, 100.0), (2, 5, 3))


def test_time_that_ran_backwards_is_no_time() -> None:
    assert difference(reading(5), reading(3)).seconds == 0.0


@given(st.lists(st.tuples(st.integers(0, 50), counts), min_size=2, max_size=20))
def test_the_samples_add_up_to_the_last_reading(steps: list[tuple[int, tuple[int, ...]]]) -> None:
    seen, failures, so_far = [], 0, [0, 0, 0]
    for second, (failed, more) in enumerate(steps):
        failures, so_far = failures + failed, [a + b for a, b in zip(so_far, more, strict=True)]
        seen.append(reading(second, counted(sum(so_far), failures, *so_far)))
    samples = [difference(Reading(NOON), seen[0]), *(difference(*two) for two in pairwise(seen))]
    found = totals(samples, {"r1"})
    assert (found.requests, found.failures) == (sum(so_far), failures)
    assert found.latency.total == sum(so_far)


@given(counts, counts)
def test_adding_loses_no_request_even_if_no_bound_is_shared(
    one: tuple[int, ...], other: tuple[int, ...]
) -> None:
    first, second = LatencyHistogram(BOUNDS, one), LatencyHistogram((20.0, 200.0), other)
    assert add(first, second).total == first.total + second.total
    assert add(first, first).counts == tuple(2 * count for count in one)


def test_totals_take_the_groups_asked_for_and_nothing_from_what_was_not_seen() -> None:
    other = InstanceTraffic("r2", "i1", 7, 7)
    samples: list[Sample | Unseen] = [
        Sample(NOON, 10, (counted(5, 1), other)),
        Unseen(NOON, "down"),
    ]
    assert totals(samples, {"r1"}).requests == 5
    assert totals(samples, {"r1", "r2"}).failure_share == pytest.approx(8 / 12)
    assert totals([], {"r1"}).failure_share == 0.0


@given(counts, st.floats(0.1, 1000))
def test_what_is_surely_within_and_surely_above_never_overlap(
    seen: tuple[int, ...], threshold_ms: float
) -> None:
    histogram = LatencyHistogram(BOUNDS, seen)
    within, above = surely_within(histogram, threshold_ms), surely_above(histogram, threshold_ms)
    assert within + above <= histogram.total
    if threshold_ms in BOUNDS:
        assert within + above == histogram.total


@pytest.mark.parametrize(
    ("threshold_ms", "share"), [(9, 0.0), (10, 0.5), (99, 0.5), (100, 0.8), (5000, 0.8)]
)
def test_a_bucket_that_the_threshold_cuts_is_not_within(threshold_ms: float, share: float) -> None:
    assert share_within(LatencyHistogram(BOUNDS, (5, 3, 2)), threshold_ms) == pytest.approx(share)
    assert share_within(LatencyHistogram(), threshold_ms) == 0.0


@pytest.mark.parametrize(
    ("share", "bound"), [(0.5, 10.0), (0.51, 100.0), (0.8, 100.0), (0.81, None)]
)
def test_a_quantile_is_the_bound_of_its_bucket(share: float, bound: float | None) -> None:
    assert quantile_ms(LatencyHistogram(BOUNDS, (5, 3, 2)), share) == bound
    assert quantile_ms(LatencyHistogram(), share) is None
