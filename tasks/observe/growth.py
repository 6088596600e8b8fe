"""How fast gauges grow, minute by minute, of a release and of the group before it. Pure.

For the time after a promotion, when nobody can be ranked beside it. An instance's first minute counts for nobody: whoever
has just been started grows.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from tasks.model import Sample
from tasks.observe.tails import chance_of_ranks
from tasks.sources import Direction, GaugeSli, Sli

WINDOW_SECONDS: Final = 60.0
NEARLY: Final = 0.9  # of a window: samples are never exactly as far apart as asked
LEAST_GROWTH: Final = 0.01  # of what is held, a minute: doubled in an hour and a half

Course = list[tuple[datetime, float]]


@dataclass(frozen=True)
class Growths:
    """Of one gauge, in its own units a minute: `now` of the release, `before` of the group before it. `level`: what an
    instance of the release holds."""

    gauge: str
    now: tuple[float, ...]
    before: tuple[float, ...]
    level: float

    @property
    def looks(self) -> int:
        """How often there was something new to look at: with every minute of an instance."""
        return len(self.now)

    @property
    def matters(self) -> bool:
        more = float(np.median(self.now)) - float(np.median(self.before))
        return more >= LEAST_GROWTH * abs(self.level)

    @property
    def chance(self) -> float:
        """How often so many of the fastest minutes would be the release's if nothing had changed."""
        return chance_of_ranks(self.now, self.before)

    def __str__(self) -> str:
        grown, usual = (float(np.median(one)) for one in (self.now, self.before))
        return (
            f"{self.gauge} grows by {grown:,.0f} a minute ({grown / max(self.level, 1e-9):.1%}), in"
            f" {len(self.now)} minutes of its instances; before, by {usual:,.0f}"
        )


def growths(
    before: Sequence[Sample],
    after: Sequence[Sample],
    release: str,
    others: Collection[str],
    slis: Sequence[Sli] = (),
) -> list[Growths]:
    """Of each gauge for which there is something to compare: the release after, the others before.

    Of a gauge of the service's own that gets worse downwards, by how much it fell; one that does not wander is left out.
    """
    own = {one.name: one for one in slis if isinstance(one, GaugeSli)}
    known = {one.instance for sample in before for one in sample.instances}
    usual, now = _courses(before, others), _courses(after, {release})
    found = []
    for gauge in sorted(now.keys() & usual.keys()):
        if gauge in own and not own[gauge].wanders:
            continue
        sign = -1.0 if gauge in own and own[gauge].direction is Direction.LOWER_IS_WORSE else 1.0
        grown = _minutes(now[gauge], known)
        grown_before = _minutes(usual[gauge], set())
        if grown and grown_before:
            level = float(np.mean([course[-1][1] for course in now[gauge].values()]))
            found.append(Growths(gauge, _times(sign, grown), _times(sign, grown_before), level))
    return found


def _times(sign: float, values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sign * one for one in values)


def _courses(samples: Sequence[Sample], groups: Collection[str]) -> dict[str, dict[str, Course]]:
    """Of each gauge, and of each instance of these groups."""
    found: dict[str, dict[str, Course]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        for one in sample.instances:
            if one.group in groups:
                for gauge, value in one.gauges:
                    found[gauge][one.instance].append((sample.at, value))
    return found


def _minutes(courses: Mapping[str, Course], known: Collection[str]) -> tuple[float, ...]:
    """All together; of instances that were not known before without their first."""
    return tuple(
        value
        for instance, course in courses.items()
        for value in _grown(course)[0 if instance in known else 1 :]
    )


def _grown(course: Course) -> tuple[float, ...]:
    """Of one instance: by how much it grew in each minute, one after the other, per minute."""
    (begin, level), found = course[0], list[float]()
    for at, value in course:
        seconds = (at - begin).total_seconds()
        if seconds >= NEARLY * WINDOW_SECONDS:
            found.append((value - level) / seconds * 60)
            begin, level = at, value
    return tuple(found)
