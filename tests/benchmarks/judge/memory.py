"""Simulated memory of one canary and its peers: [runs, steps, instances], the canary last, in steps of 10 s (notes, section 5.6).

Levels differ by 5 %, with a noise of 1 % that remembers, and a saw-tooth of 3 % from garbage collection.
"""

from typing import Final

import numpy as np

from tests.benchmarks.judge.worlds import PEERS, Shares

STEPS: Final = 90
SECONDS: Final = 10.0
SLOPES: Final = (0.0, 0.25, 0.5, 1.0, 2.0)  # per cent a minute


def levels(rng: np.random.Generator, runs: int, slope: float, peers: int = PEERS) -> Shares:
    """The canary's memory grows by `slope` per cent of its level a minute."""
    shape = (runs, STEPS, peers + 1)
    base = 1 + 0.05 * rng.standard_normal((runs, 1, peers + 1))
    noise = rng.standard_normal(shape) * 0.01 * np.sqrt(1 - 0.81)
    for step in range(1, STEPS):
        noise[:, step] += 0.9 * noise[:, step - 1]
    period = rng.uniform(60, 120, (runs, 1, peers + 1))
    phase = rng.random((runs, 1, peers + 1))
    time = np.arange(STEPS)[None, :, None] * SECONDS
    found = base * (1 + noise + 0.03 * ((time / period + phase) % 1))
    found[..., -1] *= 1 + slope / 100 * np.arange(STEPS) * SECONDS / 60
    return np.asarray(found)
