"""A service's own SLIs are metrics of the judge like any other: they can roll back, and those with a margin must be seen."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from tasks.model import InstanceTraffic, Judgement, LatencyHistogram, Sample, Verdict
from tasks.observe.merging import merged
from tasks.observe.peers import PeerJudge
from tasks.service import LatencyObjective, Objectives, Observe
from tasks.sources import Direction, GaugeSli, HistogramSli, RatioSli, Sli

START = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = Observe(
    interval_seconds=10,
    batch_seconds=10,
    minimum_seconds=60,
    warm_up_seconds=0,
    deadline_seconds=3600,
    burst=1,
    margin=0.05,
)
REFUSED = RatioSli(name="refused", bad="a", total="b", margin=0.1)
SIZE = HistogramSli(name="size", buckets="a_bucket", threshold=10, margin=0.1)
HITS = GaugeSli(name="hits", query="a", direction=Direction.LOWER_IS_WORSE, wanders=False)
QUEUE = GaugeSli(name="queue", query="a")
SHORTER = GaugeSli(name="left", query="a", direction=Direction.LOWER_IS_WORSE)
Own = Callable[[np.random.Generator, bool, int], dict[str, Any]]


def judged(
    own: Own, *slis: Sli, soak: float = 60, objectives: Objectives | None = None, seed: int = 2
) -> Judgement:
    """Of a canary among 8 peers, none of which fails; what else they count is `own(rng, is_canary, batch)`."""
    settings = SETTINGS.model_copy(update={"minimum_seconds": soak})
    judge = PeerJudge(objectives or Objectives(), settings, slis=slis)
    rng = np.random.default_rng(seed)
    samples = []
    for number in range(1, 60 if soak <= 60 else 200):
        found = tuple(
            replace(
                InstanceTraffic("r2" if which == 0 else "r1", f"i{which}", 500, 0),
                **own(rng, which == 0, number),
            )
            for which in range(9)
        )
        samples.append(Sample(START + timedelta(seconds=10 * number), 10.0, found))
        found_now = judge.judge(samples, "r2", ("r1",), START, samples[-1].at)
        if found_now.verdict is not Verdict.KEEP_OBSERVING:
            return found_now
    return found_now


def ratio(canary: float) -> Own:
    def own(rng: np.random.Generator, is_canary: bool, number: int) -> dict[str, Any]:
        share = canary if is_canary else 0.02
        return {"ratios": (("refused", int(rng.binomial(200, share)), 200),)}

    return own


def sizes(canary: float) -> Own:
    def own(rng: np.random.Generator, is_canary: bool, number: int) -> dict[str, Any]:
        shares = [0.6, 0.4 - canary, canary] if is_canary else [0.6, 0.35, 0.05]
        counts = tuple(int(one) for one in rng.multinomial(200, shares))
        return {"histograms": (("size", LatencyHistogram((5.0, 10.0), counts)),)}

    return own


def gauge(name: str, canary: Callable[[int], float], peers: Callable[[int], float]) -> Own:
    def own(rng: np.random.Generator, is_canary: bool, number: int) -> dict[str, Any]:
        value = (canary if is_canary else peers)(number) + rng.normal(0, 0.01)
        return {"gauges": ((name, float(value)),)}

    return own


CASES: dict[str, tuple[Own, Sli, Verdict, str]] = {
    "a ratio that is worse": (ratio(0.2), REFUSED, Verdict.ROLL_BACK, "refused: "),
    "a ratio that is the same": (ratio(0.02), REFUSED, Verdict.PROMOTE, "refused at most"),
    "a histogram that is worse": (sizes(0.3), SIZE, Verdict.ROLL_BACK, "size"),
    "a histogram that is the same": (sizes(0.05), SIZE, Verdict.PROMOTE, "size above 10 at most"),
    "less of what should be more": (
        gauge("hits", lambda n: 0.5, lambda n: 0.9),
        HITS,
        Verdict.ROLL_BACK,
        "hits: odds",
    ),
    "more of what should be more": (
        gauge("hits", lambda n: 0.95, lambda n: 0.9),
        HITS,
        Verdict.PROMOTE,
        "errors at most",
    ),
    "a queue that grows": (
        gauge("queue", lambda n: n, lambda n: 5),
        QUEUE,
        Verdict.ROLL_BACK,
        "queue: odds",
    ),
    "a queue that is longer and stays so": (
        gauge("queue", lambda n: 50, lambda n: 5),
        QUEUE,
        Verdict.PROMOTE,
        "errors at most",
    ),
    "a rest that shrinks": (
        gauge("left", lambda n: 100 - n, lambda n: 50),
        SHORTER,
        Verdict.ROLL_BACK,
        "left: odds",
    ),
    "a difference under its floor": (
        gauge("hits", lambda n: 0.5, lambda n: 0.9),
        HITS.model_copy(update={"floor": 0.5}),
        Verdict.PROMOTE,
        "errors at most",
    ),
}


@pytest.mark.parametrize(("own", "sli", "verdict", "reason"), CASES.values(), ids=CASES.keys())
def test_an_sli_is_judged_like_any_metric(
    own: Own, sli: Sli, verdict: Verdict, reason: str
) -> None:
    soak = 1200 if isinstance(sli, GaugeSli) and sli.wanders else 60
    found = judged(own, sli, soak=soak)
    assert found.verdict is verdict, found.reason
    assert reason in found.reason


@pytest.mark.parametrize("sli", [REFUSED, SIZE])
def test_an_sli_with_a_margin_that_was_never_seen_promotes_nobody(sli: Sli) -> None:
    found = judged(lambda rng, canary, number: {}, sli)
    assert found.verdict is Verdict.KEEP_OBSERVING, found.reason


def test_a_threshold_that_no_bucket_reaches_promotes_nobody() -> None:
    far = SIZE.model_copy(update={"threshold": 50.0})
    found = judged(sizes(0.05), far)
    assert found.verdict is Verdict.KEEP_OBSERVING
    assert "no bucket of the histogram reaches 50, the last is 10" in found.reason


def test_a_latency_objective_without_latencies_promotes_nobody() -> None:
    promised = Objectives(latency=LatencyObjective(threshold_ms=250, objective=0.95))
    found = judged(lambda rng, canary, number: {}, objectives=promised)
    assert found.verdict is Verdict.KEEP_OBSERVING
    assert "too slow requests: 0 were measured" in found.reason


def test_batches_add_what_was_counted() -> None:
    one = InstanceTraffic(
        "r1",
        "a",
        5,
        1,
        ratios=(("refused", 1, 10),),
        histograms=(("size", LatencyHistogram((5.0,), (1, 2))),),
    )
    first, second = (
        Sample(START, 5.0, (replace(one, gauges=(("queue", n),)),)) for n in (1.0, 2.0)
    )
    (found,) = merged([first, second]).instances
    assert found.ratios == (("refused", 2, 20),)
    assert found.histograms == (("size", LatencyHistogram((5.0,), (2, 4))),)
    assert found.gauges == (("queue", 2.0),)
