"""Gauges (memory, queues): compared by how much they grew, from one window of time to the next. Pure.

Never by their level: a level remembers, so its ranks in successive batches are not independent, and hosts differ for ever
(notes: 19 % false alarms on levels, none on increments). Means of windows, not single values: garbage collection is a
saw-tooth. Short windows find a fast leak soon, long ones a slow leak at all; each has a part of the gauge's money.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

import numpy as np

from tasks.model import InstanceTraffic
from tasks.observe.views import Batch

SHARES: Final = {60.0: 0.5, 90.0: 0.25, 180.0: 0.25}
"""Windows in seconds, and their share of a gauge's money."""

Key = tuple[str, str]


class Growth:
    """Remembers the mean of each instance's gauges in the window before. `signs`: -1 for those of which less is worse; those
    in `by_value` are left out."""

    def __init__(
        self,
        window_seconds: float,
        signs: Mapping[str, float] | None = None,
        by_value: Collection[str] = (),
    ) -> None:
        self.window_seconds, self._seconds = window_seconds, 0.0
        self._signs, self._by_value = signs or {}, by_value
        self._before: dict[Key, float] = {}
        self._now: dict[Key, tuple[float, int]] = {}

    def named(self, gauge: str) -> str:
        """Growth over a window is a metric of its own."""
        shortest = self.window_seconds == min(SHARES)
        return gauge if shortest else f"{gauge} over {self.window_seconds / 60:g} min"

    def wandering(self, instances: Iterable[InstanceTraffic]) -> list[str]:
        """Names of what they have, but those that are compared by value."""
        names = {name for one in instances for name, _ in one.gauges}
        return sorted(names.difference(self._by_value))

    def batches(
        self, seconds: float, instances: list[InstanceTraffic]
    ) -> Iterator[tuple[str, Batch]]:
        """At the end of each window but the first: name of a gauge, and how much it grew on each instance (NaN where that
        is unknown)."""
        self._seconds += seconds
        for one in instances:
            for name, value in one.gauges:
                if name not in self._by_value:
                    total, count = self._now.get((one.instance, name), (0.0, 0))
                    signed = self._signs.get(name, 1.0) * value
                    self._now[one.instance, name] = total + signed, count + 1
        if self._seconds < 0.95 * self.window_seconds:
            return
        means = {key: total / count for key, (total, count) in self._now.items()}
        before, self._before, self._now, self._seconds = self._before, means, {}, 0.0
        load = np.array([one.requests for one in instances], float)
        for name in sorted({name for _, name in means}) if before else []:
            keys = [(one.instance, name) for one in instances]
            grown = [means.get(key, np.nan) - before.get(key, np.nan) for key in keys]
            yield name, Batch(np.zeros(len(instances)), load, np.array(grown, float))
