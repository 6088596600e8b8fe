"""What is forecast before a rollout is what the judge then does, at more and less traffic, with and without peers."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.model import LatencyHistogram
from tasks.observe.forecasting import (
    Situation,
    Slower,
    shifted,
    until_found_slow,
    until_promoted,
    until_rolled_back,
)
from tests.rules.test_peer_judge import instance, judged, peers, samples

HERE = Situation(
    canary_rate=12.5,
    others_rate=37.5,
    peers=3,
    usual=0.001,
    batch_seconds=10,
    horizon_seconds=900,
    margin=0.005,
    burst=1,
)
LATENCY = LatencyHistogram((10.0, 20.0, 50.0, 100.0, 200.0), (5, 300, 500, 150, 40, 5))


def test_more_errors_are_found_sooner_and_the_same_question_has_the_same_answer() -> None:
    found = [until_rolled_back(HERE, failing) for failing in (0.02, 0.05, 0.2)]
    seconds = [one.median_seconds or 1e9 for one in found]
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[-1] < seconds[0]
    assert until_rolled_back(HERE, 0.05) == found[1]


def test_more_traffic_finds_a_fault_sooner_and_promotes_sooner() -> None:
    busy = replace(HERE, canary_rate=125, others_rate=375)
    slow, fast = until_rolled_back(HERE, 0.01), until_rolled_back(busy, 0.01)
    assert (fast.median_seconds or 1e9) < (slow.median_seconds or 1e9)
    assert (until_promoted(busy).median_seconds or 1e9) < (
        until_promoted(HERE).median_seconds or 1e9
    )


def test_a_fault_that_will_not_be_found_in_time_is_said_so() -> None:
    found = until_rolled_back(replace(HERE, canary_rate=0.01), 0.005)
    assert found.median_seconds is None
    assert found.share < 0.5


def test_without_peers_of_its_load_votes_find_it_later_but_do() -> None:
    alone = until_rolled_back(replace(HERE, peers=1), 0.2)
    assert alone.share == 1


def test_the_forecast_is_what_the_judge_then_does() -> None:
    """Twenty rollouts of a version with 5 % errors, judged by the judge itself."""
    forecast = until_rolled_back(HERE, 0.05).median_seconds
    assert forecast is not None
    counts = [
        judged(
            samples(
                lambda rng, n: (instance(rng, "r2", "c", failing=0.05), *peers(rng)), 40, seed=seed
            )
        )[1]
        for seed in range(20)
    ]
    assert forecast / 2 <= float(np.median(counts)) * 10 <= forecast * 2


def test_longer_answers_are_found_and_much_longer_ones_sooner() -> None:
    little = until_found_slow(HERE, LATENCY, Slower(1.1))
    much = until_found_slow(HERE, LATENCY, Slower(2.0))
    assert little.share > 0.9
    assert (much.median_seconds or 1e9) <= (little.median_seconds or 1e9)
    assert much.failed_requests > 0


@pytest.mark.parametrize("slower", [Slower(1.1), Slower(2.0), Slower(2.0, 0.95), Slower(30.0)])
def test_a_slower_histogram_keeps_every_request_and_none_gets_faster(slower: Slower) -> None:
    shares = np.array(LATENCY.counts) / LATENCY.total
    found = shifted(shares, LATENCY.bounds_ms, slower)
    assert found.sum() == pytest.approx(1)
    assert (found.cumsum() <= shares.cumsum() + 1e-12).all()
    assert not np.allclose(found, shares)


def test_only_what_is_above_the_quantile_moves() -> None:
    shares = np.array(LATENCY.counts) / LATENCY.total
    found = shifted(shares, LATENCY.bounds_ms, Slower(2.0, 0.95))
    assert found[:3] == pytest.approx(shares[:3])
