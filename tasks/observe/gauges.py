"""Gauges (memory, queues): compared by how much they grew in a minute. Pure.

Never by their level: a level remembers, so its ranks in successive batches are not independent, and hosts differ for ever
(notes: 19 % false alarms on levels, none on increments).
"""

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from tasks.model import InstanceTraffic
from tasks.observe.views import Batch

WINDOW_SECONDS = 60.0


class Growth:
    """Remembers each instance's gauges at the beginning of the minute. `signs`: -1 for those of which less is worse; those
    in `by_value` are left out."""

    def __init__(
        self, signs: Mapping[str, float] | None = None, by_value: Collection[str] = ()
    ) -> None:
        self._signs, self._by_value = signs or {}, by_value
        self._seconds = 0.0
        self._before: dict[tuple[str, str], float] = {}

    def batches(
        self, seconds: float, instances: list[InstanceTraffic]
    ) -> Iterator[tuple[str, Batch]]:
        """At the end of each minute: name of a gauge, and how much it grew on each instance (NaN where that is unknown)."""
        self._seconds += seconds
        now = {
            (one.instance, name): self._signs.get(name, 1.0) * value
            for one in instances
            for name, value in one.gauges
            if name not in self._by_value
        }
        if self._before and self._seconds < WINDOW_SECONDS:
            return
        names = sorted({name for _, name in now}) if self._before else []
        for name in names:
            grown = [self._growth(one.instance, name, now) for one in instances]
            load = np.array([one.requests for one in instances], float)
            yield name, Batch(np.zeros(len(instances)), load, np.array(grown, float))
        self._seconds, self._before = 0.0, now

    def _growth(self, instance: str, name: str, now: dict[tuple[str, str], float]) -> float:
        key = (instance, name)
        if key not in now or key not in self._before:
            return float("nan")
        return now[key] - self._before[key]
