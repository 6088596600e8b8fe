"""A real Prometheus that is lied to: it is told in a sentence, and nobody is promoted or blamed for it.

The judge of these tests is quick: with honest counters it promotes a good canary and rolls a bad one back within seconds.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tasks.adapters.prometheus_queries import joined, questions
from tasks.errors import MetricsUnreadableError
from tasks.model import (
    Environment,
    FleetStatus,
    Health,
    InstanceTraffic,
    Sample,
    Verdict,
)
from tasks.sources import PRESETS, GaugeSli, HistogramSli, PrometheusSource, RatioSli, Sli
from tasks.sources import Exporter as Exports
from tests.support.exporter import Exporter
from tests.support.metrics_grounds import Scraped, scraped, status_of
from tests.support.prometheus_watch import CANARY, INSTANCES, Watch, serve

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """One Prometheus for all tests that only change what instances say; it scrapes them for two jobs."""
    folder = tmp_path_factory.mktemp("shared")
    with scraped(folder, INSTANCES, jobs=("hello", "again")) as found:
        yield found


@pytest.fixture
def ground(shared: Scraped) -> Scraped:
    for one in shared.exporters.values():
        one.counts.clear()
        one.served(1000, 10)
    shared.settle()
    return shared


@pytest.fixture
def watch(ground: Scraped) -> Watch:
    found = Watch(ground.metrics(), ground.environment)
    found.look()
    return found


def traffic(ground: Scraped, **changes: object) -> dict[str, InstanceTraffic]:
    found = ground.metrics(**changes).read(ground.environment)  # type: ignore[arg-type]
    return {one.instance: one for one in found.instances}


# ---- honest --------------------------------------------------------------------------------------


def test_with_honest_counters_a_good_canary_is_promoted(ground: Scraped, watch: Watch) -> None:
    for _ in range(3):
        serve(ground)
        ground.settle()
        watch.look()
    found = watch.judge()
    assert found.verdict is Verdict.PROMOTE, found.reason


def test_with_honest_counters_a_failing_canary_is_rolled_back(
    ground: Scraped, watch: Watch
) -> None:
    for _ in range(2):
        serve(ground, bad_share=0.9)
        ground.settle()
        watch.look()
    found = watch.judge()
    assert found.verdict is Verdict.ROLL_BACK, found.reason


def test_requests_failures_and_latencies_are_those_of_each_instance(ground: Scraped) -> None:
    ground.exporters["r1-b"].served(5, 3, slow=2)
    ground.settle()
    found = traffic(ground)
    assert {name: (one.requests, one.failures) for name, one in found.items()} == {
        "r1-a": (1010, 10),
        "r1-b": (1018, 13),
        "r2-c": (1010, 10),
    }
    assert found["r1-b"].latency.bounds_ms == (100.0, 500.0)
    assert found["r1-b"].latency.counts == (1016, 2, 0)
    assert [one.group for one in found.values()] == ["r1", "r1", "r2"]


def test_asking_faster_than_it_scrapes_makes_no_batch(ground: Scraped, watch: Watch) -> None:
    serve(ground)
    ground.settle()
    seen = [watch.look() for _ in range(9)]
    counted = [one for one in seen if isinstance(one, Sample) and one.instances[0].requests]
    assert len(counted) == 1
    assert None in seen


def test_an_instance_that_answered_nothing_yet_is_silent_not_missing(ground: Scraped) -> None:
    ground.exporters[CANARY].says("")
    ground.settle(3)
    found = traffic(ground)[CANARY]
    assert (found.requests, found.failures) == (0, 0)


def test_a_restart_counts_from_zero(ground: Scraped, watch: Watch) -> None:
    ground.exporters[CANARY].counts.clear()
    ground.exporters[CANARY].served(7, 1)
    ground.settle()
    found = watch.look()
    assert isinstance(found, Sample)
    counted = {one.instance: (one.requests, one.failures) for one in found.instances}
    assert counted == {"r1-a": (0, 0), "r1-b": (0, 0), CANARY: (8, 1)}


def test_only_instances_that_are_ready_and_have_traffic_must_be_scraped(ground: Scraped) -> None:
    world, here = ground.world, ground.environment
    before = world.place(here).status
    ghost = status_of([("r0", "r0-a", "127.0.0.1:1")], weight=0).groups
    try:
        world.set_status(here, FleetStatus((*before.groups, *ghost)))
        world.set_health(here, "r1-b", Health.DEAD)
        assert list(traffic(ground)) == ["r1-a", CANARY]
    finally:
        world.set_status(here, before)


def test_an_environment_without_traffic_has_nothing_to_read(ground: Scraped) -> None:
    nowhere = Environment("hello", "nowhere", "memory")
    assert ground.metrics().read(nowhere).instances == ()


def test_the_service_s_own_slis_are_read_with_it(ground: Scraped) -> None:
    for number, one in enumerate(ground.exporters.values()):
        text = (one.page or b"").decode()
        text += (
            f'paid_total{{ok="yes"}} 90\npaid_total{{ok="no"}} {10 + number}\nqueue {number}.5\n'
        )
        one.says(text)
    ground.settle()
    slis: list[Sli] = [
        RatioSli(name="declined", bad='paid_total{ok="no"}', total="paid_total"),
        RatioSli(name="refused", good='paid_total{ok="yes"}', total="paid_total"),
        HistogramSli(name="waiting", buckets="http_request_duration_seconds_bucket", threshold=0.1),
        GaugeSli(name="queue", query="queue"),
        GaugeSli(name="twice", query="2 * queue"),
    ]
    # An expression that is no selector brings its own labels.
    with pytest.raises(MetricsUnreadableError, match=r"2 \* queue more than once"):
        ground.metrics(slis).read(ground.environment)
    slis[-1] = GaugeSli(name="twice", query='2 * queue{job="hello"}')
    found = {one.instance: one for one in ground.metrics(slis).read(ground.environment).instances}
    assert found[CANARY].ratios == (("declined", 12, 102), ("refused", 12, 102))
    assert found[CANARY].gauges == (("queue", 2.5), ("twice", 5.0))
    ((name, waiting),) = found["r1-a"].histograms
    assert (name, waiting.bounds_ms, waiting.total) == ("waiting", (0.1, 0.5), 1010)


# ---- lies ----------------------------------------------------------------------------------------

Lie = Callable[[Exporter], None]
GOOD: Final = 'http_requests_total{code="200"}'


def replaced(old: str, new: str) -> Lie:
    def lie(exporter: Exporter) -> None:
        text = (exporter.page or b"").decode()
        assert old in text
        lines = [new if line.startswith(old) else line for line in text.splitlines()]
        exporter.says("\n".join(lines) + "\n")

    return lie


def fails(exporter: Exporter) -> None:
    exporter.page = None


def jumps_back(exporter: Exporter) -> None:
    exporter.counts["200"] -= 2500  # 500 less than it had before the requests of this test
    exporter.served(0)


BUCKET: Final = "http_request_duration_seconds_bucket"
LIES: Final[dict[str, tuple[Lie, str]]] = {
    "no number": (replaced(GOOD, f"{GOOD} NaN"), "found nan for the counter http_requests_total"),
    "infinity": (replaced(GOOD, f"{GOOD} +Inf"), "found inf for the counter"),
    "less than nothing": (replaced(GOOD, f"{GOOD} -5000"), "for the counter http_requests_total"),
    "no last bucket": (
        replaced(f'{BUCKET}{{le="+Inf"}}', ""),
        f"found a histogram without the bucket le=+Inf in {BUCKET} on r2-c; see its /metrics",
    ),
    "a missing bucket": (
        replaced(f'{BUCKET}{{le="0.5"}}', ""),
        f"found different buckets of {BUCKET} on",
    ),
    "other buckets": (
        replaced(f'{BUCKET}{{le="0.5"}}', f'{BUCKET}{{le="0.6"}} 3010'),
        f"found different buckets of {BUCKET} on",
    ),
    "buckets that fall": (
        replaced(f'{BUCKET}{{le="0.1"}}', f'{BUCKET}{{le="0.1"}} 9999999'),
        "found buckets that are not cumulative: a larger le holds fewer",
    ),
    "no buckets": (
        lambda one: one.says("\n".join((one.page or b"").decode().splitlines()[:2]) + "\n"),
        f"found no histogram {BUCKET} for r2-c, though there are requests",
    ),
    "a scrape that fails": (fails, "found no scrape of r2-c: the target is down"),
    "a counter that jumps back a little": (
        jumps_back,
        "the requests of r2-c fell from 10 of 1010 to 10 of 510, which no restart explains",
    ),
    "failures that vanish": (
        replaced('http_requests_total{code="500"}', ""),
        "the requests of r2-c fell from 10 of 1010 to 0 of 3000, which no restart explains",
    ),
}


@pytest.mark.parametrize(("lie", "told"), LIES.values(), ids=LIES.keys())
def test_a_lie_of_the_canary_is_told_and_decides_nothing(
    ground: Scraped, watch: Watch, lie: Lie, told: str
) -> None:
    serve(ground)
    lie(ground.exporters[CANARY])
    ground.settle()
    for _ in range(3):
        assert not isinstance(watch.look(), Sample)
        time.sleep(0.3)
    assert told in watch.blind
    found = watch.judge()
    assert found.verdict is Verdict.KEEP_OBSERVING, found.reason
    assert "says nothing about the canary" in found.reason


def test_half_a_counter_is_a_restart_and_no_mark(ground: Scraped, watch: Watch) -> None:
    """It did restart, for all we know: what it counted since is counted once."""
    ground.exporters[CANARY].counts.clear()
    serve(ground, requests=100)
    ground.settle()
    watch.look()
    assert watch.judge().verdict is not Verdict.ROLL_BACK


def test_two_jobs_that_scrape_one_instance_would_count_it_twice(ground: Scraped) -> None:
    with pytest.raises(
        MetricsUnreadableError, match=r"more than once for r\d-\w \(job=again, job=hello\)"
    ):
        traffic(ground, selector={})


def test_a_label_that_does_not_exist_leaves_nothing_instead_of_no_failures(
    ground: Scraped,
) -> None:
    with pytest.raises(
        MetricsUnreadableError, match=r"found no series .*status!=.* for any of r1-a"
    ):
        traffic(ground, exporter="fastapi")


def test_a_counter_of_failures_that_does_not_exist_is_not_no_failures(ground: Scraped) -> None:
    with pytest.raises(MetricsUnreadableError, match=r"found no series .*http_errors_total"):
        traffic(
            ground, exporter="own", requests="http_requests_total", failures="http_errors_total"
        )


def test_what_prometheus_does_not_take_is_named(ground: Scraped) -> None:
    wrong = ground.metrics([GaugeSli(name="queue", query="sum(queue")])
    with pytest.raises(
        MetricsUnreadableError, match=r"does not take sum\(queue \(queue\): .*parse error"
    ):
        wrong.read(ground.environment)


@pytest.mark.parametrize("exporter", list(PRESETS))
def test_it_takes_the_queries_of_every_exporter(shared: Scraped, exporter: Exports) -> None:
    own: list[Sli] = [
        RatioSli(name="a", bad='a_total{ok="no"}', total="a_total"),
        HistogramSli(name="b", buckets="b_bucket", threshold=1),
        GaugeSli(name="c", query="c / c"),
        GaugeSli(name="d", query='d{e="f"}'),
    ]
    source = PrometheusSource(url="http://p", exporter=exporter, selector={"job": 'x"y'})
    assert shared.prometheus.query(joined(questions(source, own))) == []


def test_a_classic_histogram_is_not_taken_for_a_native_one(ground: Scraped) -> None:
    with pytest.raises(
        MetricsUnreadableError, match="no histogram http_request_duration_seconds for"
    ):
        traffic(ground, latency="http_request_duration_seconds")
