"""What a look of the shipping judge costs, and what a sample takes in the journal. `python -m tests.benchmarks.judge.cost`

Errors, three views of latency, and memory over three windows; a look is shown the whole list of samples, as the rollout does.
"""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from tasks.journal.samples import packed
from tasks.model import InstanceTraffic, LatencyHistogram, Sample
from tasks.observe.peers import PeerJudge
from tasks.service import ErrorObjective, LatencyObjective, Objectives, Observe
from tests.benchmarks.judge.latencies import BOUNDS_MS, shares

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
OBJECTIVES: Final = Objectives(
    errors=ErrorObjective(objective=0.99), latency=LatencyObjective(threshold_ms=500, objective=0.9)
)
SETTINGS: Final = Observe(minimum_seconds=9_000, deadline_seconds=9_000, warm_up_seconds=0)
EVERY_BATCH: Final = (
    4  # metrics: errors and the views of latency; memory has a batch at the end of its windows only
)
REPEATS: Final = 3  # the fastest counts: a machine that is shared is only ever slower
WINDOW: Final = (
    24  # looks of which the median is told: two minutes' windows of gauges are among them
)


def samples(instances: int, count: int) -> list[Sample]:
    """One canary, the others its peers; 500 requests each in a batch."""
    rng = np.random.default_rng(3)
    return [
        Sample(START + timedelta(seconds=10 * (n + 1)), 10.0, _instances(rng, instances))
        for n in range(count)
    ]


def _instances(rng: np.random.Generator, count: int) -> tuple[InstanceTraffic, ...]:
    latency = rng.multinomial(500, shares(), count)
    failures, memory = rng.binomial(500, 0.001, count), rng.normal(1e8, 1e6, count)
    return tuple(
        InstanceTraffic(
            "r2" if one == 0 else "r1",
            f"r{2 if one == 0 else 1}-{one:04d}",
            500,
            int(failures[one]),
            LatencyHistogram(BOUNDS_MS, tuple(latency[one].tolist())),
            (("memory_bytes", float(round(memory[one]))),),
        )
        for one in range(count)
    )


def looks(shown: Sequence[Sample]) -> list[float]:
    """Milliseconds of each look (CPU of this process: others may be busy)."""
    judge, found = PeerJudge(OBJECTIVES, SETTINGS), []
    for count in range(1, len(shown) + 1):
        seen = list(shown[:count])
        began = time.process_time()
        judge.judge(seen, "r2", ("r1",), START, shown[count - 1].at)
        found.append(1000 * (time.process_time() - began))
    return found


def journalled(sample: Sample) -> int:
    """Bytes."""
    return len(json.dumps(packed(sample), separators=(",", ":")).encode())


def main() -> None:
    print(
        "| instances | samples so far | ms per look | ms per metric and batch | bytes of a sample |"
    )
    print("|---|---|---|---|---|")
    for instances, count, target in ((4, 300, 1.0), (20, 300, 1.0), (1000, 120, 10.0)):
        shown = samples(instances, count)
        found = np.min([looks(shown) for _ in range(REPEATS)], axis=0)
        size = journalled(shown[-1])
        for end in (WINDOW + 3, count):
            per_look = float(np.median(found[end - WINDOW : end]))
            each = per_look / EVERY_BATCH
            met = "" if each < target else f" (over the target of {target:g})"
            print(f"| {instances} | {end} | {per_look:.2f} | {each:.2f}{met} | {size} |")


if __name__ == "__main__":
    main()
