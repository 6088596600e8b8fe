"""Samples survive the journal unchanged, and are small enough to be there every few seconds."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import CorruptError
from tasks.journal.events import EventKind, Sampled, body_of, written
from tasks.journal.samples import packed, unpacked
from tasks.model import InstanceTraffic, LatencyHistogram, Sample
from tasks.ports import Event

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BOUNDS = tuple(float(2**n) for n in range(25))

counts = st.lists(st.integers(0, 10**6), min_size=4, max_size=4).map(tuple)
histograms = st.one_of(
    st.just(LatencyHistogram()), counts.map(lambda found: LatencyHistogram((1.0, 2.5, 10.0), found))
)
instances = st.builds(
    InstanceTraffic,
    st.sampled_from(["r1", "r2"]),
    st.text(max_size=8),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    histograms,
    st.one_of(st.just(()), st.just((("memory", 1.5), ("queue", 0.0)))),
    st.one_of(st.just(()), st.just((("refused", 1, 20), ("declined", 0, 0)))),
    st.one_of(st.just(()), histograms.map(lambda found: (("size", found),))),
)
samples = st.builds(
    Sample,
    st.datetimes(timezones=st.just(UTC)),
    st.floats(0, 1e6),
    st.lists(instances, max_size=5).map(tuple),
)


@given(samples)
def test_what_was_packed_is_unpacked_equal(sample: Sample) -> None:
    assert unpacked(json.loads(json.dumps(packed(sample)))) == sample


def test_a_sample_of_twenty_instances_takes_less_than_4_kb() -> None:
    latency = LatencyHistogram(BOUNDS, tuple(range(100, 126)))
    found = tuple(
        InstanceTraffic(
            "r12-baseline", f"r12-baseline-{n:06x}", 1250, 3, latency, (("memory", 1e8),)
        )
        for n in range(20)
    )
    assert len(json.dumps(written(Sampled(Sample(NOW, 10.0, found))), separators=(",", ":"))) < 4096


def test_what_was_packed_before_there_were_slis_is_read() -> None:
    old = {"at": NOW.isoformat(), "seconds": 1.0, "bounds_ms": [[]]}
    rows = [["r1", "a", 3, 1, 0, [3]], ["r1", "b", 3, 1, 0, [3], {"memory": 5.0}]]
    found = unpacked({"packed": {**old, "instances": rows}})
    assert [one.gauges for one in found.instances] == [(), (("memory", 5.0),)]
    assert [one.ratios for one in found.instances] == [(), ()]


@pytest.mark.parametrize("body", [{}, {"at": 3}, {"at": NOW.isoformat(), "seconds": 1}, "text"])
def test_a_packed_sample_that_cannot_be_read_is_told_with_its_line(body: object) -> None:
    line = Event(7, NOW, EventKind.SAMPLED, "s", "e", "r1", {"packed": body}, 0, "", "")  # type: ignore[dict-item]
    with pytest.raises(CorruptError, match="line 7"):
        body_of(line)
