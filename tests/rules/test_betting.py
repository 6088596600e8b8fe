"""Bets are fair: exactly, by enumeration, where that is possible. Simulated worlds: test_null_worlds.py."""

from itertools import product
from math import comb

import numpy as np
import pytest

from tasks.observe.betting import (
    SAFE,
    WORSE,
    Floats,
    Wealth,
    count_log_bets,
    dispersion,
    rank_log_bets,
    rank_log_bets_of_each,
    stakes,
    vote_log_bets,
)

# ---- exact ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("peers", [1, 2, 3, 4, 19])
def test_a_rank_bet_pays_one_on_average_over_all_ranks(peers: int) -> None:
    values = np.arange(peers + 1.0)
    paid = [
        np.exp(rank_log_bets(values[rank], np.delete(values, rank))) for rank in range(peers + 1)
    ]
    assert np.allclose(np.mean(paid, 0), 1)


def test_ties_share_their_pay_out_and_all_tied_is_no_bet() -> None:
    assert np.allclose(rank_log_bets(0.0, np.zeros(19)), 0)
    values = np.array([0.0, 0.0, 1.0, 1.0, 1.0, 2.0])
    paid = [np.exp(rank_log_bets(values[i], np.delete(values, i))) for i in range(len(values))]
    assert np.allclose(np.mean(paid, 0), 1)


def test_ranking_each_among_all_others_is_the_same_as_one_by_one() -> None:
    levels = np.random.default_rng(0).integers(0, 5, 30).astype(float)
    one_by_one = [rank_log_bets(levels[i], np.delete(levels, i)) for i in range(30)]
    assert np.allclose(rank_log_bets_of_each(levels), one_by_one)


def test_what_was_not_seen_is_neither_ranked_nor_bet_on() -> None:
    levels = np.array([3.0, np.nan, 1.0, 1.0, np.nan, 2.0])
    bets, seen = rank_log_bets_of_each(levels), ~np.isnan(levels)
    assert np.allclose(bets[seen], rank_log_bets_of_each(levels[seen]))
    assert (bets[~seen] == 0).all()
    assert np.allclose(rank_log_bets(3.0, levels), rank_log_bets(3.0, levels[seen]))
    assert (rank_log_bets(np.nan, levels) == 0).all()


def test_many_rollouts_at_once_are_ranked_as_one_by_one() -> None:
    levels = np.random.default_rng(1).integers(0, 4, (5, 7, 6)).astype(float)
    levels[2, 3, 1] = np.nan
    together = rank_log_bets_of_each(levels)
    for place in np.ndindex(5, 7):
        assert np.allclose(together[place], rank_log_bets_of_each(levels[place]))


def probabilities(n: int, share: float) -> Floats:
    return np.array([comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)])


def mean_pay_out(
    odds: Floats, p: float, q: float, n: int, peers: int, usual: float, ratio: float, margin: float
) -> float:
    """Exactly, over all outcomes: of the best bet."""
    bad, others = np.arange(n + 1.0), np.arange(peers + 1.0)
    stake = stakes(odds, n / peers, usual, ratio)
    logs = count_log_bets(stake, bad[:, None], n, others[None, :], peers, usual, ratio, margin)
    weights = probabilities(n, p)[:, None] * probabilities(peers, q)[None]
    return float((weights[..., None] * np.exp(logs)).sum((0, 1)).max())


CASES = list(
    product([3, 25], [3, 60], [0.0, 0.001, 0.05, 0.5], [5e-4, 0.05, 0.5], [1.0, 1.5], [0.0, 0.02])
)


@pytest.mark.parametrize(("n", "peers", "q", "usual", "ratio", "margin"), CASES)
def test_a_count_bet_is_fair_or_worse_under_every_null(
    n: int, peers: int, q: float, usual: float, ratio: float, margin: float
) -> None:
    edge = min(1.0, ratio * q + margin)
    for p in (edge, edge * 0.6):
        assert mean_pay_out(WORSE, p, q, n, peers, usual, ratio, margin) <= 1 + 1e-9
    for p in (edge, min(1.0, edge * 1.4 + 0.01)):
        assert mean_pay_out(SAFE, p, q, n, peers, usual, ratio, margin) <= 1 + 1e-9


def test_without_reference_it_is_the_conditional_likelihood_ratio_of_lindon_and_malek() -> None:
    n, peers, bad, others, odds = 50, 950, 4, 7, 5.0
    null, alternative = n / (n + peers), odds * n / (odds * n + peers)
    wanted = bad * np.log(alternative / null) + others * np.log((1 - alternative) / (1 - null))
    stake = stakes(np.array([odds]), n / peers, 0.0)
    assert np.allclose(count_log_bets(stake, bad, n, others, peers, 0.0), wanted)


def test_wealth_that_starts_at_many_times_begins_with_one_and_keeps_its_mean() -> None:
    wealth = Wealth(2, horizon=3)
    assert float(wealth.log()) == pytest.approx(0)
    for _ in range(5):
        wealth.bet(np.zeros(2))
        assert float(wealth.log()) == pytest.approx(0)


def test_who_joins_a_wealth_later_begins_with_one() -> None:
    wealth = Wealth(2, 3, (1,))
    wealth.bet(np.log(np.full((1, 2), 5.0)))
    wealth.widen(2)
    assert np.allclose(np.exp(wealth.log()), [3.0, 1.0, 1.0]), (
        "half of the money was put at the first batch"
    )
    wealth.bet(np.zeros((3, 2)))
    assert np.allclose(np.exp(wealth.log()), [3.0, 1.0, 1.0])


def test_votes_are_fair_however_large_the_bursts_are() -> None:
    rng = np.random.default_rng(0)
    size = rng.geometric(0.1, (100_000, 6))
    on_canary = rng.random(size.shape) < 0.05
    bad, others = (size * on_canary).sum(1), (size * ~on_canary).sum(1)
    paid = np.exp(vote_log_bets(stakes(WORSE, 50 / 950, 0.0), bad, 50, others, 950))
    assert (paid.mean(0) < 1 + 4 * paid.std(0) / len(paid) ** 0.5).all()


def test_dispersion_sees_bursts_but_not_shared_outages() -> None:
    rng = np.random.default_rng(0)
    total = rng.poisson(500, (2_000, 19)).astype(float)
    share = np.where(rng.random((2_000, 1)) < 0.05, 0.1, 0.001)
    together = rng.binomial(total.astype(int), share).astype(float)
    assert dispersion(together, total) < 1.1
    bursts = rng.poisson(total * 0.001 / 10)
    more = rng.negative_binomial(np.maximum(bursts, 1), 0.1)
    apart = np.where(bursts > 0, bursts + more, 0).astype(float)
    assert 15 < dispersion(apart, total) < 23
    assert dispersion(np.zeros((0, 3)), np.zeros((0, 3))) == 1.0
