"""Where nothing is wrong the rule that ships hardly ever rolls back, though it looks after every batch: 2,000 runs a world.

Rank bets, peer rule, floors and guard, with the money spread over starting times; with 19 peers, and with the three fresh
ones of the default design. The rule is tasks/observe with runs as an axis (tests/benchmarks/judge/ours.py), and PeerJudge says
the same on single streams (test_judge_alike.py).
"""

import numpy as np
import pytest

from tests.benchmarks.judge import latencies, memory, ours
from tests.benchmarks.judge.worlds import (
    BATCHES,
    NULL_WORLDS,
    REGRESSIONS,
    STEP_SECONDS,
    STEPS,
    Streams,
)

RUNS = 2_000
CHUNK = 500
PROMISED = 0.01

# Ranks are not exchangeable there, and no judge that finds 5 % errors in 30 s could tell: spells of 20 s are longer than a batch,
# unequal hosts differ for ever, and fresh canaries are compared with old peers (the warm-up is for them). The notes' figures
# are 3.2 %, 4.0 % and 54 % (50 requests/s an instance); ours, with room for chance. By (world, requests/s, peers).
WEAKER = {
    ("bad spells", 5.0, 19): 0.025,
    ("bad spells", 50.0, 19): 0.032,
    ("bad spells", 5.0, 3): 0.012,
    ("bad spells", 50.0, 3): 0.012,
    ("unequal hosts", 5.0, 19): 0.02,
    ("unequal hosts", 50.0, 19): 0.045,
    ("unequal hosts", 5.0, 3): 0.02,
    ("unequal hosts", 50.0, 3): 0.045,
    ("cold start, old peers", 5.0, 19): 0.1,
    ("cold start, old peers", 50.0, 19): 0.5,
    ("cold start, old peers", 5.0, 3): 0.1,
    ("cold start, old peers", 50.0, 3): 0.5,
}


def alarms(world: str, each: float, peers: int, runs: int = RUNS, skip: int = 0) -> float:
    """The share of runs that are ever rolled back; `each`: requests a second of an instance."""
    rng, found = np.random.default_rng(1), 0
    for _ in range(runs // CHUNK):
        streams = {**NULL_WORLDS, **REGRESSIONS}[world](rng, CHUNK, peers, each * STEP_SECONDS)
        found += int((judged(streams, skip) < ours.NEVER).sum())
    return found / runs


def judged(streams: Streams, skip: int = 0) -> np.ndarray:
    rolled_back = ours.rolled_back((ours.of_errors(streams),), STEPS, BATCHES, skip)
    return np.minimum(rolled_back, ours.guarded(streams))


@pytest.mark.slow
@pytest.mark.parametrize("world", NULL_WORLDS)
@pytest.mark.parametrize(("each", "peers"), [(5.0, 19), (50.0, 19), (5.0, 3), (50.0, 3)])
def test_false_alarms_stay_rare_where_nothing_is_wrong(world: str, each: float, peers: int) -> None:
    assert alarms(world, each, peers) <= WEAKER.get((world, each, peers), PROMISED)


@pytest.mark.slow
def test_a_warm_up_makes_old_peers_comparable() -> None:
    assert alarms("cold start, old peers", 50.0, 19, 1_000, skip=24) <= PROMISED


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "each", "peers"), [("1 %", 50.0, 3), ("5 %", 5.0, 3), ("100 %", 0.5, 19)]
)
def test_a_canary_that_fails_more_is_found(world: str, each: float, peers: int) -> None:
    assert alarms(world, each, peers, CHUNK) >= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("world", ["independent", "drift", "10 s pauses"])
def test_latencies_cry_as_rarely(world: str) -> None:
    """Three views of a histogram, out of one purse: 500 runs of each world, so that histograms fit into memory."""
    rng, found = np.random.default_rng(1), 0
    for _ in range(4):
        seen = latencies.NULL_WORLDS[world](rng, 125, 5, 5.0 * STEP_SECONDS)
        found += int((ours.rolled_back(ours.of_latency(seen), STEPS, BATCHES) < ours.NEVER).sum())
    assert found / 500 <= 0.02, "1 %, and what 500 runs may differ from it by"


def test_memory_without_a_leak_is_none_and_a_leak_is_found() -> None:
    rng = np.random.default_rng(1)
    still, leaking = (memory.levels(rng, 300, slope) for slope in (0.0, 2.0))
    found = [
        (ours.rolled_back(ours.of_memory(one), memory.STEPS, BATCHES) < ours.NEVER).mean()
        for one in (still, leaking)
    ]
    assert found[0] <= PROMISED
    assert found[1] >= 0.99
