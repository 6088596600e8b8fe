"""The cells of the tables: every method on the same streams, one world at one traffic a cell."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from tests.benchmarks.judge import latencies, memory, ours, promotion, rivals, worlds
from tests.benchmarks.judge.latencies import Histograms
from tests.benchmarks.judge.worlds import (
    BATCH_STEPS,
    LATE_SECONDS,
    PEERS,
    SHARE,
    STEP_SECONDS,
    STEPS,
    Counts,
    Shares,
    Streams,
    coarsened,
)

RATES: Final = (10, 100, 1000)
JUDGE: Final = "JUDGE"
JUDGE_THREE: Final = "JUDGE, 3 peers"
JUDGE_LONG: Final = "JUDGE, 30 s batches"
JUDGE_WARM: Final = "JUDGE, 120 s warm-up"
WARM_STEPS: Final = 24
HORIZON: Final = 90
CHUNK: Final = 250
Found = dict[str, Counts]


@dataclass(frozen=True)
class Size:
    """Runs of a cell."""

    errors: int
    failing: int
    latency: int
    slow: int
    memory: int
    promotion: int
    rollouts: int


SHORT: Final = Size(1000, 300, 250, 120, 200, 400, 8)
FULL: Final = Size(2000, 600, 600, 300, 400, 1000, 60)


@dataclass(frozen=True)
class Cell:
    """`power`: share of runs rolled back; seconds from the onset of the fault (inf: not within 15 min); `harm`: failed or
    slow requests of the canary until then, on average."""

    kind: str
    world: str
    rate: int
    method: str
    runs: int
    power: float
    median: float
    late: float
    harm: float


@dataclass(frozen=True)
class Job:
    """One world at one traffic."""

    kind: str
    world: str
    rate: int
    runs: int
    seed: int


def jobs(size: Size) -> list[Job]:
    found = [*_jobs("errors", worlds.NULL_WORLDS, size.errors)]
    found += _jobs("errors", worlds.REGRESSIONS, size.failing)
    found += _jobs("latency", latencies.NULL_WORLDS, size.latency)
    found += _jobs("latency", latencies.REGRESSIONS, size.slow)
    found += [Job("memory", str(slope), 0, size.memory, 12) for slope in memory.SLOPES]
    found += [Job("promotion", "", rate, size.promotion, 11) for rate in RATES]
    return found


def _jobs(kind: str, names: Mapping[str, Any], runs: int) -> Iterator[Job]:
    for number, name in enumerate(names):
        yield from (Job(kind, name, rate, runs, 7 + 3 * number) for rate in RATES)


def done(job: Job) -> list[Cell]:
    """A few hundred runs at a time: histograms of all of them would not fit into a small machine."""
    rng = np.random.default_rng(job.seed + job.rate)
    if job.kind == "promotion":
        return [Cell("promotion", *figures) for figures in promotion.cells(rng, job.rate, job.runs)]
    outcomes: dict[str, list[Counts]] = {}
    harms = list[Shares]()
    for start in range(0, job.runs, CHUNK):
        found, harm = _measure(job, rng, min(CHUNK, job.runs - start))
        harms.append(harm)
        for method, steps in found.items():
            outcomes.setdefault(method, []).append(steps)
    harm = np.concatenate(harms)
    return [_cell(job, method, np.concatenate(each), harm) for method, each in outcomes.items()]


def _measure(job: Job, rng: np.random.Generator, runs: int) -> tuple[Found, Shares]:
    each = job.rate * SHARE * STEP_SECONDS
    if job.kind == "memory":
        levels = memory.levels(rng, runs, float(job.world))
        return memory_methods(levels), np.zeros((runs, STEPS))
    if job.kind == "errors":
        world = {**worlds.NULL_WORLDS, **worlds.REGRESSIONS}[job.world]
        streams = world(rng, runs, PEERS, each)
        found = error_methods(streams)
        if extra := EXTRAS.get(job.world):
            found |= extra(streams)
        return found, streams.bad[..., -1].cumsum(1)
    seen = {**latencies.NULL_WORLDS, **latencies.REGRESSIONS}[job.world](rng, runs, PEERS, each)
    found = latency_methods(seen)
    if job.world in EXTRAS:
        views = ours.of_latency(seen)
        found[JUDGE_WARM] = ours.rolled_back(views, STEPS, HORIZON, skip=WARM_STEPS)
    return found, seen.counts[..., -1, 7:].sum(-1).cumsum(1)


def _cell(job: Job, method: str, steps: Counts, harm: Shares) -> Cell:
    hit = steps < ours.NEVER
    onset = LATE_SECONDS if "from 5 min" in job.world else 0.0
    step_seconds = memory.SECONDS if job.kind == "memory" else STEP_SECONDS
    seconds = np.where(hit, (steps + 1) * step_seconds - onset, np.inf)
    until = harm[np.arange(len(steps)), np.minimum(steps, STEPS - 1)]
    quantile = partial(np.quantile, seconds, method="lower")
    return Cell(
        job.kind,
        job.world,
        job.rate,
        method,
        len(steps),
        float(hit.mean()),
        float(quantile(0.5)),
        float(quantile(0.95)),
        float(until.mean()),
    )


# ---- methods -------------------------------------------------------------------------------------


def error_methods(streams: Streams) -> Found:
    bad, total = streams.bad[..., -1], streams.total[..., -1]
    pooled = (bad, total, streams.bad[..., :-1].sum(-1), streams.total[..., :-1].sum(-1))
    minutes = rivals.by_minute(bad, total)
    fresh = rivals.by_minute(streams.bad[..., 0], streams.total[..., 0])
    found = {
        "Argo >= 99 %, limit 1": rivals.threshold(bad, total, 0.99, 1),
        "Argo >= 99 %, limit 3": rivals.threshold(bad, total, 0.99, 3),
        "Argo >= 99.8 %, limit 1": rivals.threshold(bad, total, 0.998, 1),
        "Kayenta, end": rivals.kayenta(minutes, fresh),
        "Kayenta, peek each minute": rivals.kayenta(minutes, fresh, 5),
        "z-test, end": rivals.z_test(pooled, peek=False),
        "z-test, peek": rivals.z_test(pooled, peek=True),
        "mSPRT": rivals.msprt(pooled),
        "Lindon-Malek": rivals.lindon_malek(pooled),
    }
    return {**found, **our_errors(streams)}


def our_errors(streams: Streams) -> Found:
    """With 19 peers of its load, and with the three fresh ones of the default design."""
    three = Streams(streams.total[..., [0, 1, 2, -1]], streams.bad[..., [0, 1, 2, -1]])
    return {JUDGE: _judged(streams), JUDGE_THREE: _judged(three)}


def _judged(streams: Streams, batches: int = 1, skip: int = 0) -> Counts:
    """In longer batches, or after a warm-up."""
    levels = ours.of_errors(streams, batches * BATCH_STEPS)
    found = ours.rolled_back((levels,), STEPS, HORIZON // batches, skip)
    return np.minimum(found, ours.guarded(streams))


EXTRAS: Final = {
    "bad spells": lambda streams: {JUDGE_LONG: _judged(streams, batches=3)},
    "cold start, old peers": lambda streams: {JUDGE_WARM: _judged(streams, skip=WARM_STEPS)},
}


def latency_methods(seen: Histograms) -> Found:
    canary, fresh = seen.counts[..., -1, :], seen.counts[..., 0, :]
    pooled = seen.counts[..., :-1, :].sum(-2)

    def kayenta(peek_from: int | None) -> Counts:
        each = [
            [rivals.histogram_quantile(coarsened(one, rivals.MINUTE), q) for one in (canary, fresh)]
            for q in (0.5, 0.99)
        ]
        return np.minimum(*(rivals.kayenta(own, other, peek_from) for own, other in each))

    levels = ours.of_latency(seen)
    return {
        "p99 <= 625 ms, limit 1": rivals.latency_threshold(canary, 625.0, 1),
        "p99 <= 1 s, limit 3": rivals.latency_threshold(canary, 1000.0, 3),
        "Kayenta p50 or p99, end": kayenta(None),
        "Kayenta p50 or p99, peek": kayenta(5),
        "anytime DKW band": rivals.dkw_band(canary, pooled),
        "multinomial mixture": rivals.multinomial(canary, pooled),
        JUDGE: ours.rolled_back(levels, STEPS, HORIZON),
    }


def memory_methods(levels: Shares) -> Found:
    """Steps of 10 s here; a rival's minute has 6 of them."""
    minutes = coarsened(levels, 6) / 6
    own, other = minutes[..., -1], minutes[..., 0]

    def in_steps(minute: Counts) -> Counts:
        """From steps of 5 s."""
        return np.where(minute < ours.NEVER, (minute + 1) // 2 - 1, ours.NEVER)

    above = own > 1.1 * own[:, :1]
    return {
        "Kayenta on the level, end": in_steps(rivals.kayenta(own, other)),
        "Kayenta on the level, peek": in_steps(rivals.kayenta(own, other, 5)),
        "10 % above its own start": rivals.first(above, 6),
        JUDGE: ours.rolled_back(ours.of_memory(levels), memory.STEPS, HORIZON),
    }
