"""Exact probabilities, against enumeration; and what they promise: few false roll-backs however often one looks."""

import random
from datetime import UTC, datetime, timedelta
from itertools import combinations
from math import comb, sqrt
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.model import InstanceTraffic, Sample, Unseen, Verdict
from tasks.observe.rules import FALSE_ROLL_BACKS, SloJudge
from tasks.observe.tails import at_least, at_least_of, chance_of_ranks
from tasks.service import ErrorObjective, Objectives, Observe

START = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.integers(1, 60), st.integers(0, 60), st.floats(0.001, 0.9))
def test_a_binomial_tail_is_the_sum_of_its_terms(trials: int, count: int, share: float) -> None:
    count = min(count, trials)
    terms = (
        comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(count, trials + 1)
    )
    wanted = 1.0 if count <= trials * share else sum(terms)
    assert at_least(count, trials, share) == pytest.approx(wanted, rel=1e-9)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 40), st.integers(0, 40))
def test_a_hypergeometric_tail_is_the_sum_of_its_terms(
    drawn: int, others: int, count: int, more: int
) -> None:
    population, count = drawn + others, min(count, drawn)
    marked = count + min(more, others)
    ways = sum(
        comb(marked, k) * comb(population - marked, drawn - k)
        for k in range(count, min(drawn, marked) + 1)
    )
    wanted = 1.0 if count * population <= drawn * marked else ways / comb(population, drawn)
    assert at_least_of(count, drawn, marked, population) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("trials", [10_000, 100_000, 1_000_000])
def test_with_many_requests_both_tails_are_those_of_the_bell_curve(trials: int) -> None:
    mean, spread = trials * 0.1, sqrt(trials * 0.1 * 0.9)
    usual = 1 - NormalDist(mean, spread).cdf(mean + 2 * spread - 0.5)
    assert at_least(round(mean + 2 * spread), trials, 0.1) == pytest.approx(usual, rel=0.05)
    # Half of all requests were drawn, and as many failed as without a difference: half of the spread squared.
    narrow = spread / sqrt(2)
    usual = 1 - NormalDist(mean, narrow).cdf(mean + 2 * narrow - 0.5)
    found = at_least_of(round(mean + 2 * narrow), trials, round(2 * mean), 2 * trials)
    assert found == pytest.approx(usual, rel=0.05)


def test_what_is_beyond_floating_point_is_practically_never() -> None:
    assert at_least(10_000, 10_000, 0.001) == 0.0
    assert at_least_of(10_000, 10_000, 10_000, 10**6) == 0.0


def observed(seed: int, failing: float) -> Verdict:
    """One canary that fails at a constant rate, looked at every 20 s for 30 minutes, 40 requests each."""
    chance, judge = (
        random.Random(seed),
        SloJudge(
            Objectives(errors=ErrorObjective(objective=0.99)),
            Observe(minimum_requests=100, minimum_seconds=1900, deadline_seconds=2000),
        ),
    )
    samples: list[Sample | Unseen] = []
    for look in range(1, 91):
        at = START + timedelta(seconds=20 * look)
        failures = sum(chance.random() < failing for _ in range(40))
        seen = InstanceTraffic("r2", "c1", 40, failures), InstanceTraffic("r1", "s1", 360, 0)
        samples.append(Sample(at, 20.0, seen))
        found = judge.judge(samples, "r2", ("r1",), START, at)
        if found.verdict is not Verdict.KEEP_OBSERVING:
            return found.verdict
    return Verdict.KEEP_OBSERVING


def test_a_canary_exactly_at_its_objective_is_rarely_rolled_back_however_often_it_is_looked_at() -> (
    None
):
    runs = 150
    false = sum(observed(seed, 0.01) is Verdict.ROLL_BACK for seed in range(runs))
    assert false <= 2 * FALSE_ROLL_BACKS * runs


def test_a_canary_beyond_its_objective_is_found() -> None:
    assert all(observed(seed, 0.05) is Verdict.ROLL_BACK for seed in range(50))


def test_ranks_are_as_surprising_as_enumeration_says() -> None:
    """Of all ways in which three of eight values could have been the new ones."""
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    for some in combinations(values, 3):
        high = sum(one > 5 for one in some)
        as_high = sum(sum(one > 5 for one in drawn) >= high for drawn in combinations(values, 3))
        others = [one for one in values if one not in some]
        expected = as_high / comb(8, 3) if high * 8 > 3 * 3 else 1.0
        assert chance_of_ranks(some, others) == pytest.approx(expected)


def test_values_that_are_all_the_same_say_nothing() -> None:
    assert chance_of_ranks([0.0] * 20, [0.0] * 20) == 1.0
    assert chance_of_ranks([0.0, 0.0, 1.0], [0.0] * 20) > 0.1
