"""From one reading to the next: every event in exactly one batch, and a batch for everybody or for nobody."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.model import InstanceTraffic, LatencyHistogram, Reading, Sample, Unseen
from tasks.observe.scrapes import following

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
BOUNDS = (10.0, 100.0)


def at(second: float) -> datetime:
    return NOON + timedelta(seconds=second)


def scraped(second: float, requests: int, failures: int = 0, name: str = "a") -> InstanceTraffic:
    latency = LatencyHistogram(BOUNDS, (requests, 0, 0))
    return InstanceTraffic("r1", name, requests, failures, latency, scraped_at=at(second))


def reading(second: float, *instances: InstanceTraffic) -> Reading:
    return Reading(at(second), instances)


def told(before: Reading, after: Reading) -> str:
    """Why nothing can be told; then the next reading is compared with the same one as this."""
    found = following(before, after)
    assert isinstance(found.sample, Unseen)
    assert found.last is before
    return found.sample.reason


def test_a_sample_is_as_long_as_its_scrapes_were_apart() -> None:
    before = reading(3, scraped(0, 10), scraped(1, 20, name="b"))
    found = following(before, reading(29, scraped(15, 15), scraped(16, 50, name="b")))
    assert isinstance(found.sample, Sample)
    assert found.sample.seconds == 15
    assert found.sample.at == at(29)
    assert [(one.requests, one.scraped_at) for one in found.sample.instances] == [
        (5, None),
        (30, None),
    ]


def test_nothing_new_is_no_batch_until_everybody_was_scraped_again() -> None:
    before = reading(3, scraped(0, 10), scraped(1, 20, name="b"))
    halfway = following(before, reading(20, scraped(15, 15), scraped(1, 20, name="b")))
    assert (halfway.sample, halfway.last) == (None, before)
    whole = following(halfway.last, reading(30, scraped(15, 15), scraped(16, 26, name="b")))
    assert isinstance(whole.sample, Sample)
    assert [one.requests for one in whole.sample.instances] == [5, 6]


def test_what_could_not_be_read_loses_no_event() -> None:
    before = reading(0, scraped(0, 10))
    blind = following(before, Unseen(at(10), "down"))
    assert blind.sample == Unseen(at(10), "down")
    found = following(blind.last, reading(20, scraped(20, 35)))
    assert isinstance(found.sample, Sample)
    assert found.sample.instances[0].requests == 25


def test_the_first_scrape_of_an_instance_is_no_batch_for_anybody() -> None:
    before = reading(0, scraped(0, 1000))
    after = reading(10, scraped(10, 1010), scraped(9, 5000, name="b"))
    found = following(before, after)
    assert isinstance(found.sample, Unseen)
    assert "the first scrape of b" in found.sample.reason
    assert found.last is after


def test_what_is_counted_by_the_splitter_itself_counts_from_zero_as_before() -> None:
    old = InstanceTraffic("r1", "a", 10, 0)
    found = following(reading(0, old), reading(10, old, InstanceTraffic("r2", "b", 7, 1)))
    assert isinstance(found.sample, Sample)
    assert [one.requests for one in found.sample.instances] == [0, 7]


def test_a_restart_counts_what_came_after_it() -> None:
    found = following(reading(0, scraped(0, 100, 50)), reading(10, scraped(10, 30, 2)))
    assert isinstance(found.sample, Sample)
    assert (found.sample.instances[0].requests, found.sample.instances[0].failures) == (30, 2)


LIES = {
    "two replicas in turn": (scraped(10, 990, 5), "fell from 5 of 1000 to 5 of 990"),
    "failures that vanish": (scraped(10, 1200, 0), "fell from 5 of 1000 to 0 of 1200"),
    "an older scrape": (scraped(-10, 900, 5), "two replicas answer in turn"),
    "series that vanished": (scraped(10, 0, 0), "has no requests any more, it had 1000"),
    "a bucket that fell": (
        replace(scraped(10, 1200, 5), latency=LatencyHistogram(BOUNDS, (900, 300, 0))),
        "a bucket of the latencies of a fell from (1000, 0, 0) to (900, 300, 0)",
    ),
    "an SLI that fell": (
        replace(scraped(10, 1200, 5), ratios=(("refused", 1, 60),)),
        "the refused of a fell from 3 of 70 to 1 of 60",
    ),
}


@pytest.mark.parametrize(("after", "reason"), LIES.values(), ids=LIES.keys())
def test_what_no_honest_counter_does_is_no_batch(after: InstanceTraffic, reason: str) -> None:
    before = replace(scraped(0, 1000, 5), ratios=(("refused", 3, 70),))
    assert reason in told(reading(0, before), reading(10, after))


def test_each_sli_restarts_on_its_own() -> None:
    before = replace(scraped(0, 100, 5), ratios=(("refused", 3, 70),))
    after = replace(scraped(10, 130, 6), ratios=(("refused", 1, 9),))
    found = following(reading(0, before), reading(10, after))
    assert isinstance(found.sample, Sample)
    (one,) = found.sample.instances
    assert (one.requests, one.failures, one.ratios) == (30, 1, (("refused", 1, 9),))


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3), st.booleans()), max_size=30))
def test_every_event_is_in_exactly_one_batch(steps: list[tuple[int, int, bool]]) -> None:
    """However often it is looked, scraped or missed: what was counted until the last batch adds up."""
    last: Reading | Unseen = reading(0, scraped(0, 5))
    total, second, counted, believed = 5, 0, 0, 5
    for number, (more, passed, seen) in enumerate(steps, start=1):
        total, second = total + more * (passed > 0), second + passed
        now = reading(number, scraped(second, total)) if seen else Unseen(at(number), "away")
        found = following(last, now)
        last = found.last
        if isinstance(found.sample, Sample):
            counted, believed = counted + found.sample.instances[0].requests, total
    assert counted == believed - 5
