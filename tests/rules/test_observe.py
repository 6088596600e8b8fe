"""The first judge: what it concludes from what was seen, and from what was not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.model import InstanceTraffic, Judgement, LatencyHistogram, Sample, Unseen, Verdict
from tasks.observe.rules import Judge, SloJudge
from tasks.service import ErrorObjective, LatencyObjective, Objectives, Observe

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
PROMISED: Final = Objectives(errors=ErrorObjective(objective=0.99))
SETTINGS: Final = Observe(
    interval_seconds=10,
    minimum_requests=100,
    minimum_seconds=60,
    deadline_seconds=600,
    patience_seconds=60,
)
CANARY, STABLE, BASELINE = "r2", "r1", "r2-baseline"


def judged(
    samples: Sequence[Sample | Unseen],
    objectives: Objectives = PROMISED,
    settings: Observe = SETTINGS,
    now: datetime | None = None,
    peers: tuple[str, ...] = (STABLE, BASELINE),
) -> Judgement:
    judge: Judge = SloJudge(objectives, settings)
    return judge.judge(samples, CANARY, peers, START, now or samples[-1].at)


def batch(
    number: int,
    canary: tuple[int, int] = (20, 0),
    stable: tuple[int, int] = (180, 0),
    latency: LatencyHistogram | None = None,
) -> Sample:
    """The batch that ends `number` intervals after the start; groups as (requests, failures)."""
    seen = latency or LatencyHistogram()
    return Sample(
        START + timedelta(seconds=10 * number),
        10.0,
        (
            InstanceTraffic(CANARY, "c1", *canary, seen),
            InstanceTraffic(STABLE, "s1", stable[0] // 2, stable[1] // 2),
            InstanceTraffic(BASELINE, "b1", stable[0] - stable[0] // 2, stable[1] - stable[1] // 2),
        ),
    )


def batches(
    count: int, canary: tuple[int, int] = (20, 0), stable: tuple[int, int] = (180, 0)
) -> list[Sample | Unseen]:
    return [batch(number, canary, stable) for number in range(1, count + 1)]


def blind(number: int, reason: str = "connection refused") -> Unseen:
    return Unseen(START + timedelta(seconds=10 * number), reason)


@dataclass(frozen=True)
class Case:
    """What was seen, and what follows."""

    samples: list[Sample | Unseen]
    verdict: Verdict
    reason: str


CASES: Final = {
    "a good canary is promoted after its soak": Case(
        batches(6),
        Verdict.PROMOTE,
        "0 of 120 requests failed (0.00%, 1.00% allowed); seen for 60 s",
    ),
    "a good canary soaks as long as it should": Case(
        batches(5), Verdict.KEEP_OBSERVING, "good so far, about 10 s more at this traffic"
    ),
    "few requests are waited for, with a forecast": Case(
        batches(6, canary=(5, 0)),
        Verdict.KEEP_OBSERVING,
        "30 of 100 requests seen, about 140 s more at this traffic",
    ),
    "a forecast says when the deadline comes first": Case(
        batches(6, canary=(1, 0)),
        Verdict.KEEP_OBSERVING,
        "about 940 s more at this traffic, later than the deadline in 540 s",
    ),
    "one failure too many may be chance": Case(
        batches(6, canary=(20, 1)),
        Verdict.KEEP_OBSERVING,
        "too many, but it may be chance; about 240 s more at this traffic without a bad one",
    ),
    "20 % failures are caught before the minimum of requests": Case(
        batches(3, canary=(20, 4)),
        Verdict.ROLL_BACK,
        "12 of 60 requests failed (20.00%, 1.00% allowed)",
    ),
    "a handful of failed requests is not enough": Case(
        batches(2, canary=(20, 20)), Verdict.KEEP_OBSERVING, "40 of 100 requests seen"
    ),
    "a slow burn is caught after the minimum of requests": Case(
        batches(10, canary=(100, 4)), Verdict.ROLL_BACK, "of its peers' 1800 requests 0 did"
    ),
    "a shared outage is not the canary's fault": Case(
        batches(6, canary=(20, 4), stable=(180, 36)),
        Verdict.KEEP_OBSERVING,
        "its peers are no better (216 of 1080): the world burns",
    ),
    "peers that are a little bad do not excuse a canary that is very bad": Case(
        batches(6, canary=(20, 10), stable=(180, 3)), Verdict.ROLL_BACK, "60 of 120 requests failed"
    ),
    "a shared outage ends as inconclusive": Case(
        batches(60, canary=(20, 4), stable=(180, 36)),
        Verdict.INCONCLUSIVE,
        "no verdict within 600 s: 240 of 1200 requests failed",
    ),
    "too little traffic ends as inconclusive": Case(
        batches(60, canary=(1, 0)),
        Verdict.INCONCLUSIVE,
        "no verdict within 600 s; 40 requests were missing",
    ),
    "no traffic at all ends as inconclusive": Case(
        batches(60, canary=(0, 0), stable=(0, 0)),
        Verdict.INCONCLUSIVE,
        "100 requests were missing: 0 of 100 requests seen, and no traffic to forecast from",
    ),
    "metrics that cannot be read are held out": Case(
        [*batches(6), blind(7)],
        Verdict.KEEP_OBSERVING,
        "could not be read for 10 s (connection refused); that says nothing about the canary",
    ),
    "metrics that stay unreadable end as inconclusive": Case(
        [*batches(6), *map(blind, range(7, 13))], Verdict.INCONCLUSIVE, "could not be read for 60 s"
    ),
    "metrics that come back are judged again": Case(
        [*batches(3), blind(4), blind(5), *(batch(number) for number in range(6, 9))],
        Verdict.PROMOTE,
        "0 of 120 requests failed",
    ),
    "a bad canary is not found bad while blind": Case(
        [*batches(2, canary=(20, 20)), blind(3)], Verdict.KEEP_OBSERVING, "weights stay as they are"
    ),
    "a canary that never answered is silent, not healthy": Case(
        batches(3, canary=(0, 0), stable=(600, 0)),
        Verdict.KEEP_OBSERVING,
        "answered nothing for 30 s while about 18 requests were due (peers answered 1800)",
    ),
    "a canary that stays silent is inconclusive": Case(
        batches(6, canary=(0, 0), stable=(600, 0)), Verdict.INCONCLUSIVE, "not seeing is not health"
    ),
    "a good canary that fell silent is not promoted": Case(
        [*batches(5), batch(6, canary=(0, 0)), batch(7, canary=(0, 0))],
        Verdict.KEEP_OBSERVING,
        "answered nothing for 20 s while about 40 requests were due",
    ),
    "a canary without peers is not silent but idle": Case(
        batches(6, canary=(0, 0), stable=(0, 0)), Verdict.KEEP_OBSERVING, "0 of 100 requests seen"
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_seen_decides(case: Case) -> None:
    found = judged(case.samples)
    assert found.verdict is case.verdict, found.reason
    assert case.reason in found.reason


def test_nothing_seen_yet_is_kept_observing() -> None:
    found = judged([], now=START)
    assert found.verdict is Verdict.KEEP_OBSERVING


def test_numbers_are_flat_and_complete() -> None:
    numbers = judged(batches(3, canary=(20, 4))).numbers
    assert numbers["requests"] == 60
    assert numbers["failures"] == 12
    assert numbers["peers_requests"] == 540
    assert all(value is None or isinstance(value, int | float | str) for value in numbers.values())


def test_an_objective_of_nine_in_ten_allows_one_in_ten() -> None:
    promised = Objectives(errors=ErrorObjective(objective=0.9))
    assert judged(batches(6, canary=(20, 2)), promised).verdict is Verdict.PROMOTE


# ---- latency -------------------------------------------------------------------------------------

FAST: Final = Objectives(latency=LatencyObjective(threshold_ms=250, objective=0.95))
BOUNDS: Final = (100.0, 250.0, 500.0)


def timed(
    *counts: int, bounds_ms: tuple[float, ...] = BOUNDS, number: int = 12
) -> list[Sample | Unseen]:
    seen = LatencyHistogram(bounds_ms, counts)
    return [batch(n, canary=(seen.total, 0), latency=seen) for n in range(1, number + 1)]


LATENCIES: Final = {
    "fast enough": (
        timed(90, 6, 4, 0),
        Verdict.PROMOTE,
        "48 of 1200 requests took longer than 250 ms",
    ),
    "far too slow": (
        timed(80, 5, 10, 5),
        Verdict.ROLL_BACK,
        "180 of 1200 requests took longer than 250 ms",
    ),
    "a little too slow": (timed(80, 14, 5, 1), Verdict.KEEP_OBSERVING, "may be chance"),
    "a bucket that the threshold cuts condemns nobody": (
        timed(90, 10, 0, bounds_ms=(100.0, 500.0)),
        Verdict.KEEP_OBSERVING,
        "of 120 more the histogram cannot tell",
    ),
    "a bucket that the threshold cuts may be too small to matter": (
        timed(98, 2, 0, bounds_ms=(100.0, 500.0)),
        Verdict.PROMOTE,
        "0 of 1200 requests took longer",
    ),
    "all slow": (
        timed(0, 0, 50, 50, number=1),
        Verdict.ROLL_BACK,
        "100 of 100 requests took longer",
    ),
}


@pytest.mark.parametrize(("samples", "verdict", "reason"), LATENCIES.values(), ids=LATENCIES.keys())
def test_latency_decides(samples: list[Sample | Unseen], verdict: Verdict, reason: str) -> None:
    found = judged(samples, FAST)
    assert found.verdict is verdict, found.reason
    assert reason in found.reason


def test_latency_that_was_never_measured_is_not_good() -> None:
    found = judged(batches(12), FAST)
    assert found.verdict is Verdict.KEEP_OBSERVING
    assert "the latency of 0 requests seen, of 100 is needed (answered were 240)" in found.reason


def test_peers_that_are_as_slow_excuse_the_canary() -> None:
    slow = LatencyHistogram(BOUNDS, (50, 0, 0, 50))
    both = tuple(InstanceTraffic(group, "i", 100, 0, slow) for group in (CANARY, STABLE))
    found = judged([Sample(START + timedelta(seconds=10), 10.0, both)], FAST)
    assert found.verdict is Verdict.KEEP_OBSERVING
    assert "the world burns" in found.reason


# ---- what holds for every record -----------------------------------------------------------------

failing = st.integers(0, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
records = st.lists(st.one_of(st.none(), st.tuples(failing, failing)), min_size=1, max_size=70)


def recorded(record: list[tuple[tuple[int, int], tuple[int, int]] | None]) -> list[Sample | Unseen]:
    return [
        blind(number) if one is None else batch(number, *one)
        for number, one in enumerate(record, start=1)
    ]


@given(count=st.integers(1, 200))
def test_blindness_never_decides_about_the_canary(count: int) -> None:
    found = judged([blind(number) for number in range(1, count + 1)])
    wanted = Verdict.INCONCLUSIVE if count >= 6 else Verdict.KEEP_OBSERVING
    assert found.verdict is wanted


@given(records)
def test_a_promoted_canary_met_its_objective_and_was_seen(
    record: list[tuple[tuple[int, int], tuple[int, int]] | None],
) -> None:
    found = judged(recorded(record))
    requests, failures = found.numbers["requests"], found.numbers["failures"]
    assert isinstance(requests, int)
    assert isinstance(failures, int)
    if found.verdict is Verdict.PROMOTE:
        assert requests >= SETTINGS.minimum_requests
        assert failures <= 0.01 * requests
        assert len([one for one in record if one]) >= 6
    if found.verdict is Verdict.ROLL_BACK:
        assert failures > 0.01 * requests
    assert found.reason


@given(records, st.data())
def test_more_failures_never_turn_a_roll_back_into_a_promotion(
    record: list[tuple[tuple[int, int], tuple[int, int]] | None], data: st.DataObject
) -> None:
    before = recorded(record)
    place = data.draw(st.integers(0, len(before) - 1))
    worse = before[place]
    if isinstance(worse, Unseen):
        return
    own = worse.instances[0]
    failures = data.draw(st.integers(own.failures, own.requests))
    after = [*before]
    after[place] = replace(worse, instances=(replace(own, failures=failures), *worse.instances[1:]))
    found = judged(before).verdict
    if found is Verdict.ROLL_BACK:
        assert judged(after).verdict is Verdict.ROLL_BACK
    if found is not Verdict.PROMOTE:
        assert judged(after).verdict is not Verdict.PROMOTE


@given(records)
def test_past_the_deadline_there_is_always_an_answer(
    record: list[tuple[tuple[int, int], tuple[int, int]] | None],
) -> None:
    found = judged(recorded(record), now=START + timedelta(seconds=SETTINGS.deadline_seconds))
    assert found.verdict is not Verdict.KEEP_OBSERVING
