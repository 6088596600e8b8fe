"""The one purse that all metrics of a rollout bet from. Pure.

The average of e-values is an e-value only if its weights do not depend on what they won (Vovk & Wang, AoS 2021), and not all
metrics are known at the first batch: latency is scored once enough of it was seen, gauges have names of their own. So who
comes later gets its share of the purse as it is then, and the others go on with the rest: money changes hands between two
batches, but nothing is added, and the whole stays a fair game. (Dividing by the number of metrics would add some: whoever had
lost would be given its 1 again.)
"""

from collections.abc import Iterable, Mapping
from math import exp, inf, log

import numpy as np


class Purse:
    """How much of each metric's wealth is in the purse, as a logarithm."""

    def __init__(self) -> None:
        self._log_weights: dict[str, float] = {}
        self._shares = 0.0

    def let_in(self, newcomers: Mapping[str, float], log_wealths: Mapping[str, float]) -> None:
        """Before a batch: names with their share (1: as much as any other), and what the others' wealth is now.

        A newcomer's own wealth is 1.
        """
        more = sum(newcomers.values())
        if not more:
            return
        total = self.log_total(log_wealths) if self._log_weights else 0.0
        everybody = self._shares + more
        for name in self._log_weights:
            self._log_weights[name] += log(self._shares / everybody)
        for name, share in newcomers.items():
            self._log_weights[name] = total + log(share / everybody)
        self._shares = everybody

    def log_total(self, log_wealths: Mapping[str, float]) -> float:
        return log_sum(self.log_weighted(log_wealths).values())

    def log_weighted(self, log_wealths: Mapping[str, float]) -> dict[str, float]:
        return {name: self._log_weights[name] + one for name, one in log_wealths.items()}


def log_sum(logs: Iterable[float]) -> float:
    """-inf of nothing."""
    found = [one for one in logs if one > -inf]
    top = max(found, default=-inf)
    return top + float(np.log(sum(exp(one - top) for one in found))) if found else -inf
