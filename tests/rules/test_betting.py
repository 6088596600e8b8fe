"""Bets are fair: exactly, by enumeration, where that is possible; else over thousands of runs in worlds where all is well."""

from itertools import product
from math import comb

import numpy as np
import pytest

from tasks.observe.betting import (
    SAFE,
    SHAPES,
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
from tests.benchmarks.judge.worlds import BATCHES, NULL_WORLDS, Streams

RUNS = 2_000
PEERS = 19


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


def test_votes_are_fair_however_large_the_bursts_are() -> None:
    rng = np.random.default_rng(0)
    size = rng.geometric(0.1, (100_000, 6))
    on_canary = rng.random(size.shape) < 0.05
    bad, others = (size * on_canary).sum(1), (size * ~on_canary).sum(1)
    paid = np.exp(vote_log_bets(stakes(WORSE, 50 / 950, 0.0), bad, 50, others, 950))
    assert (paid.mean(0) < 1 + 4 * paid.std(0) / len(paid) ** 0.5).all()


# ---- simulated: looked at after every batch ------------------------------------------------------


def alarms(streams: Streams) -> Floats:
    """The share of runs in which the rank judge, with its peer rule, ever cries; at every batch it may."""
    level = streams.bad / np.maximum(streams.total, 1)
    runs, _, instances = level.shape
    canary = Wealth(len(SHAPES), BATCHES, (runs,))
    worst = Wealth(len(SHAPES), BATCHES, (runs, instances - 1))
    cried = np.zeros(runs, bool)
    for batch in range(BATCHES):
        now = level[:, batch]
        canary.bet(rank_log_bets(now[:, -1], now[:, :-1]))
        peers = now[:, :-1]
        worst.bet(np.stack([rank_log_bets_of_each(one) for one in peers]))
        rich = canary.log() >= np.log(100)
        cried |= rich & (canary.log() >= worst.log().max(1) + np.log(10))
    return np.asarray(cried, float)


# Bad spells of 20 s are longer than a batch, and unequal hosts differ for ever: ranks are not exchangeable there. The
# figures are the notes' (3.2 % and 4.0 % at 50 requests/s an instance), with room for chance.
WEAKER = {"bad spells": 0.04, "unequal hosts": 0.06}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NULL_WORLDS)
@pytest.mark.parametrize("each", [5.0, 50.0])
def test_false_alarms_stay_rare_in_worlds_where_nothing_is_wrong(name: str, each: float) -> None:
    streams = NULL_WORLDS[name](np.random.default_rng(1), RUNS, PEERS, each * 10)
    assert alarms(streams).mean() <= WEAKER.get(name, 0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("share", "each"), [(0.01, 50.0), (0.05, 5.0), (1.0, 0.5)])
def test_a_canary_that_fails_more_is_found(share: float, each: float) -> None:
    rng = np.random.default_rng(2)
    streams = with_failures(independent(rng, 200, PEERS, each * 10), share, rng)
    assert alarms(streams).mean() >= 0.99


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
