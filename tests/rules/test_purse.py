"""One purse for all metrics, however late they come; peers that come and go; who may be ranked with whom."""

from itertools import permutations, product
from math import exp, inf, log

import numpy as np
import pytest

from tasks.observe.evidence import Comparison, MetricEvidence
from tasks.observe.loads import Loads
from tasks.observe.purse import Purse
from tasks.observe.ranking import EVER_RULE, PEER_RULE, Ranking
from tasks.observe.views import Batch, Kind, Metric

ERRORS = Metric("errors", Kind.RATIO, None, 0.0, 0.001)
WON, LOST = 1.5, 0.5


# ---- the purse -----------------------------------------------------------------------------------


def test_all_start_with_equal_shares_of_one() -> None:
    purse = Purse()
    purse.let_in({"errors": 1.0, "slow": 1.0}, {})
    assert purse.log_total({"errors": log(3.0), "slow": log(1.0)}) == pytest.approx(log(2.0))


def test_who_comes_later_brings_no_money_and_takes_none_away() -> None:
    purse = Purse()
    purse.let_in({"errors": 1.0}, {})
    before = {"errors": log(0.1)}
    purse.let_in({"slow": 1.0, "memory": 0.5}, before)
    after = {**before, "slow": 0.0, "memory": 0.0}
    assert exp(purse.log_total(after)) == pytest.approx(0.1)
    weighted = purse.log_weighted(after)
    assert exp(weighted["slow"]) == pytest.approx(0.1 / 2.5)
    assert exp(weighted["memory"]) == pytest.approx(0.1 / 5)


def test_the_purse_is_a_fair_game_however_late_metrics_come_and_whatever_they_bet_on() -> None:
    """Exactly, over all outcomes of three fair coins; all metrics bet on the same coin, as they see the same requests."""
    total = 0.0
    for coins in product((WON, LOST), repeat=3):
        purse, wealths = Purse(), dict[str, float]()
        for coin, newcomers in zip(coins, (("a",), ("b", "c"), ("d",)), strict=True):
            logs = {name: log(one) for name, one in wealths.items()}
            purse.let_in(dict.fromkeys(newcomers, 1.0), logs)
            wealths |= dict.fromkeys(newcomers, 1.0)
            wealths = {name: one * coin for name, one in wealths.items()}
        total += exp(purse.log_total({name: log(one) for name, one in wealths.items()})) / 8
    assert total == pytest.approx(1.0)


def test_dividing_by_the_number_of_metrics_would_not_be_fair() -> None:
    """Why there is a purse: stop when the first metric has won, else let others in, and the mean is above 1."""
    stopped, went_on = WON, (LOST + 1 + 1 + 1) / 4
    assert (stopped + went_on) / 2 > 1


def test_metrics_that_count_nothing_leave_their_money_in_the_purse() -> None:
    purse = Purse()
    purse.let_in({"errors": 1.0, "slow": 1.0}, {})
    assert purse.log_total({"errors": log(8.0)}) == pytest.approx(log(4.0))
    assert purse.log_total({}) == -inf


# ---- several canaries, changing peers ------------------------------------------------------------


@pytest.mark.parametrize("canaries", [1, 2, 3])
@pytest.mark.parametrize("values", [(1, 2, 3, 4, 5), (1, 1, 2, 2, 2), (0, 0, 0, 0, 7)])
def test_several_canaries_are_a_fair_bet_over_all_orders(
    canaries: int, values: tuple[int, ...]
) -> None:
    paid = []
    for order in permutations(values):
        ranking = Ranking(1, len(values) - canaries)
        levels = np.array(order, float)
        ranking.bet(levels[:canaries], levels[canaries:])
        paid.append(np.exp(ranking.log()))
    assert np.mean(paid) == pytest.approx(1.0)


def batch(levels: list[float], total: float = 1000.0) -> Batch:
    found = np.array(levels)
    totals = np.full(len(levels), total)
    return Batch(found * totals, totals, found)


def test_a_sick_peer_stays_known_when_others_come_and_go() -> None:
    evidence = MetricEvidence(ERRORS, 90, 1.0)
    for n in range(8):
        names = ("sick", "b", "c", f"comes and goes {n}")
        evidence.update(batch([0.05]), batch([0.06, 0.001, 0.002, 0.003]), names, 10.0)
    assert evidence.comparison is Comparison.RANKED
    assert evidence.log_odds > 0
    assert evidence.worst_peer == "sick"
    assert not evidence.stands_out


def test_a_sick_peer_that_left_speaks_for_the_canary_no_longer() -> None:
    evidence = MetricEvidence(ERRORS, 90, 1.0)
    for _ in range(8):
        evidence.update(batch([0.05]), batch([0.06, 0.001, 0.002]), ("sick", "b", "c"), 10.0)
    assert not evidence.stands_out
    for _ in range(8):
        evidence.update(batch([0.05]), batch([0.001, 0.002, 0.001]), ("d", "b", "c"), 10.0)
    assert evidence.stands_out


def test_that_peers_had_such_a_spell_is_remembered() -> None:
    rng, ranking = np.random.default_rng(0), Ranking(90, 9)
    spell = np.arange(9) / 1e4
    spell[3] = 1.0
    for _ in range(4):
        ranking.bet(np.array([-1.0]), spell)
    ever = float(ranking.log_of_peers().max())
    for _ in range(40):
        ranking.bet(np.array([-1.0]), rng.permutation(9) / 1e4)
        ever = max(ever, float(ranking.log_of_peers().max()))
    assert float(ranking.log_of_peers().max()) + log(PEER_RULE) < ever + log(EVER_RULE)
    assert not ranking.stands_out(ever + log(EVER_RULE) - 0.01)
    assert ranking.stands_out(ever + log(EVER_RULE) + 0.01)


def test_what_peers_differ_by_for_ever_is_no_finding_but_noise_and_shared_trouble_are_no_difference() -> (
    None
):
    rng = np.random.default_rng(0)
    equal, unequal = Ranking(90, 9), Ranking(90, 9)
    machines = rng.normal(0, 0.1, 9)
    for _ in range(60):
        outage = 5 * (rng.random() < 0.2)
        noise = rng.normal(0, 0.1, 9) + outage
        equal.bet(np.zeros(1), noise)
        unequal.bet(np.zeros(1), noise + machines)
    assert float(equal.least_difference()) < 0.06
    assert 0.15 < float(unequal.least_difference()) < 0.6


# ---- who is ranked -------------------------------------------------------------------------------


def test_loads_are_told_by_earlier_batches_not_by_this_one() -> None:
    """Retries of failed requests are load, too: chosen by this batch, peers would be chosen by what it answered."""
    loads, where = Loads(), np.arange(2)
    loads.widen(2)
    for _ in range(5):
        loads.remember(np.array([500.0]), np.array([500.0, 500.0]), where)
    assert loads.alike(np.array([500.0]), np.array([2_000.0, 100.0]), where).all()
    for _ in range(5):
        loads.remember(np.array([500.0]), np.array([2_000.0, 500.0]), where)
    assert loads.alike(np.array([500.0]), np.array([500.0, 500.0]), where).tolist() == [False, True]


def test_the_noise_of_small_counts_makes_no_other_load() -> None:
    rng, where = np.random.default_rng(0), np.arange(19)
    loads = Loads()
    loads.widen(19)
    alike = []
    for _ in range(90):
        now = rng.poisson(5.0, 20).astype(float)
        alike.append(loads.alike(now[:1], now[1:], where).mean())
        loads.remember(now[:1], now[1:], where)
    assert np.mean(alike) > 0.95
