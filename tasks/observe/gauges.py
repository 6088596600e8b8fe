"""Gauges (memory, queues): compared by how much they grew, from one window of time to the next. Pure.

Never by their level: a level remembers, so its ranks in successive batches are not independent, and hosts differ for ever
(notes: 19 % false alarms on levels, none on increments). Means of windows, not single values: garbage collection is a
saw-tooth. Short windows find a fast leak soon, long ones a slow leak at all; each has a part of the gauge's money.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from tasks.model import InstanceTraffic
from tasks.observe.views import Batch

WINDOWS_SECONDS: Final = (60.0, 90.0, 180.0)

Key = tuple[str, str]


class Growth:
    """Remembers the mean of each instance's gauges in the window before."""

    def __init__(self, window_seconds: float = WINDOWS_SECONDS[0]) -> None:
        self._window, self._seconds = window_seconds, 0.0
        self._before: dict[Key, float] = {}
        self._now: dict[Key, tuple[float, int]] = {}

    def named(self, gauge: str) -> str:
        """Growth over a window is a metric of its own."""
        shortest = self._window == WINDOWS_SECONDS[0]
        return gauge if shortest else f"{gauge} over {self._window / 60:g} min"

    def batches(
        self, seconds: float, instances: list[InstanceTraffic]
    ) -> Iterator[tuple[str, Batch]]:
        """At the end of each window but the first: name of a gauge, and how much it grew on each instance (NaN where that
        is unknown)."""
        self._seconds += seconds
        for one in instances:
            for name, value in one.gauges:
                total, count = self._now.get((one.instance, name), (0.0, 0))
                self._now[one.instance, name] = total + value, count + 1
        if self._seconds < 0.95 * self._window:
            return
        means = {key: total / count for key, (total, count) in self._now.items()}
        before, self._before, self._now, self._seconds = self._before, means, {}, 0.0
        load = np.array([one.requests for one in instances], float)
        for name in sorted({name for _, name in means}) if before else []:
            keys = [(one.instance, name) for one in instances]
            grown = [means.get(key, np.nan) - before.get(key, np.nan) for key in keys]
            yield name, Batch(np.zeros(len(instances)), load, np.array(grown, float))
