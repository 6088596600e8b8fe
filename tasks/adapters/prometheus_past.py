"""From series over a range to readings at each of its moments, and to sums over the whole of it. Pure.

An instance is expected from its first scrape in the range to its last. What is missing in between was missed, and makes that
moment unusable for all, as it does now.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

from tasks.adapters.prometheus_answers import Native, Series, UnusableAnswerError
from tasks.adapters.prometheus_queries import FAILURES, PART, REQUESTS, UP, Question, times_of
from tasks.adapters.prometheus_traffic import Member, Moment, Point, known_names
from tasks.model import Reading, Unseen
from tasks.ports import WindowTotals
from tasks.sources import PrometheusSource, Sli

SIGNS_OF_LIFE = (times_of(REQUESTS), times_of(UP))


def readings_in(
    series: Sequence[Series],
    times: Sequence[float],
    members: Sequence[Member],
    source: PrometheusSource,
    asked: Mapping[str, Question],
    slis: Sequence[Sli],
) -> Iterator[Reading | Unseen]:
    """One for each of the times (seconds since 1970)."""
    lives = _lives(series, members, source)
    for time in times:
        at = datetime.fromtimestamp(time, UTC)
        alive = [one for one in members if _lived(lives.get(one.name), time)]
        if not alive:
            yield Unseen(at, "none of these instances was scraped at that time")
            continue
        points = [Point(one.labels, one.values[time]) for one in series if time in one.values]
        try:
            moment = Moment(time, points, source, alive)
            yield Reading(at, moment.traffic(asked, slis))
        except UnusableAnswerError as error:
            yield Unseen(at, f"found {error}")


def _lives(
    series: Sequence[Series], members: Sequence[Member], source: PrometheusSource
) -> dict[str, tuple[float, float]]:
    """First and last time at which each instance was there."""
    names, found = known_names(members), dict[str, tuple[float, float]]()
    for one in series:
        label = one.labels.get(source.instance_label, "")
        name = names.get(label) or names.get(label.rpartition(":")[0])
        if name and one.values and one.labels.get(PART) in SIGNS_OF_LIFE:
            first, last = found.get(name, (min(one.values), max(one.values)))
            found[name] = (min(first, *one.values), max(last, *one.values))
    return found


def _lived(life: tuple[float, float] | None, time: float) -> bool:
    return life is not None and life[0] <= time <= life[1]


def joined_series(parts: Sequence[Sequence[Series]]) -> list[Series]:
    """The same series of successive ranges as one."""
    found: dict[tuple[tuple[str, str], ...], Series] = {}
    for part in parts:
        for one in part:
            key = tuple(sorted(one.labels.items()))
            known = found.get(key)
            found[key] = replace(known, values={**known.values, **one.values}) if known else one
    return list(found.values())


# ---- sums ----------------------------------------------------------------------------------------


def totals_in(series: Sequence[Series]) -> WindowTotals | None:
    """What all targets counted from the first moment to the last: by their differences, nothing is extrapolated. What a target
    had when it was first seen is not of this time; None if nobody was seen twice."""
    requests, failures = _of(series, REQUESTS), _of(series, FAILURES)
    if not any(len(values) > 1 for values in requests.values()):
        return None
    bad = 0
    for target, values in failures.items():
        known = requests.get(target, {})
        # A counter of failures may come to be with the first of them.
        begun = bool(known) and min(known) < min(values)
        bad += _grown([0.0, *_ordered(values)] if begun else _ordered(values))
    return WindowTotals(bad, sum(_grown(_ordered(values)) for values in requests.values()))


def _of(
    series: Sequence[Series], part: str
) -> dict[tuple[tuple[str, str], ...], dict[float, float]]:
    found = {}
    for one in series:
        if one.labels.get(PART) == part:
            target = tuple(sorted((k, v) for k, v in one.labels.items() if k != PART))
            found[target] = {t: v for t, v in one.values.items() if not isinstance(v, Native)}
    return found


def _ordered(values: Mapping[float, float]) -> list[float]:
    return [values[time] for time in sorted(values)]


def _grown(values: Sequence[float]) -> int:
    """A count that fell to less than half was restarted; one that fell less is a lie, and counts nothing."""
    total = 0.0
    for before, after in pairwise(values):
        if after >= before:
            total += after - before
        elif 2 * after <= before:
            total += after
    return round(total)
