"""From one reading to the next: what happened in between, or why that cannot be told. Pure.

A source that counts itself (Envoy) always has news. One that scrapes (Prometheus) has none until every instance was scraped
again, and it can lie: an event must be in exactly one batch, and a batch that one instance is missing from is no batch, for
nobody. What is kept for the next comparison is always the last reading that was believed, so that nothing is lost.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from tasks.model import InstanceTraffic, LatencyHistogram, Reading, Sample, Unseen
from tasks.observe.counting import difference, grown

FIRST: Final = "the first reading; a sample needs two"


@dataclass(frozen=True)
class Followed:
    """`sample` is None while nothing new was scraped. The next reading is to be compared with `last`."""

    sample: Sample | Unseen | None
    last: Reading | Unseen


@dataclass(frozen=True)
class _Pair:
    """One instance, in two readings in which somebody else has looked at it for us."""

    was: InstanceTraffic
    now: InstanceTraffic
    before: datetime
    after: datetime

    @property
    def seconds(self) -> float:
        return (self.after - self.before).total_seconds()


def following(last: Reading | Unseen, now: Reading | Unseen) -> Followed:
    """What happened since `last`."""
    if isinstance(now, Unseen):
        return Followed(now, last)
    if isinstance(last, Unseen):
        return Followed(Unseen(now.at, FIRST), now)
    pairs = list(_pairs(last, now))
    if lie := next(filter(None, map(_lie, pairs)), ""):
        return Followed(Unseen(now.at, lie), last)
    if any(one.seconds == 0 for one in pairs):
        return Followed(None, last)
    if fresh := sorted(_fresh(last, now)):
        return Followed(
            Unseen(now.at, f"the first scrape of {', '.join(fresh)}; a sample needs two"), now
        )
    sample = difference(last, now)
    if pairs:  # as long as the scrapes were apart, which is not when we asked
        sample = replace(sample, seconds=sum(one.seconds for one in pairs) / len(pairs))
    return Followed(sample, now)


def samples_of(readings: Iterable[Reading | Unseen]) -> tuple[Sample | Unseen, ...]:
    """What happened from each to the next."""
    last: Reading | Unseen | None = None
    found: list[Sample | Unseen] = []
    for now in readings:
        if last is None:
            last = now
            continue
        followed = following(last, now)
        last = followed.last
        if followed.sample is not None:
            found.append(followed.sample)
    return tuple(found)


def _pairs(last: Reading, now: Reading) -> Iterator[_Pair]:
    known = {(one.group, one.instance): one for one in last.instances}
    for one in now.instances:
        was = known.get((one.group, one.instance))
        if was and was.scraped_at and one.scraped_at:
            yield _Pair(was, one, was.scraped_at, one.scraped_at)


def _fresh(last: Reading, now: Reading) -> set[str]:
    known = {(one.group, one.instance) for one in last.instances}
    return {
        one.instance
        for one in now.instances
        if one.scraped_at and (one.group, one.instance) not in known
    }


def _lie(pair: _Pair) -> str:
    """What no honest counter does: go back in time, or fall without having been restarted. Empty if it is honest."""
    name = pair.now.instance
    if pair.seconds < 0:
        return (
            f"the scrape of {name} at {pair.after:%H:%M:%S} was answered after that at {pair.before:%H:%M:%S}: two replicas"
            " answer in turn, or the answer came from a cache; ask one of them"
        )
    fallen = (
        f"of {name} fell from {{}} to {{}}, which no restart explains: two replicas answer in turn, or series of it vanished;"
        " ask one of them"
    )
    was, now = _counts(pair.was), _counts(pair.now)
    for what in (one for one in was if one in now):  # requests first: the cause before what follows
        (old_bad, old), (bad, total) = was[what], now[what]
        if total == 0 < old:
            return (
                f"{name} has no {what} any more, it had {old}: it restarted and was asked nothing since, or its series"
                " vanished; see its /metrics, and whether its clock is right"
            )
        # After a restart it has counted for less than one scrape. Half of what it had in all its life is no restart.
        if (total < old and 2 * total > old) or (total >= old and bad < old_bad):
            found = fallen.format(f"{old_bad} of {old}", f"{bad} of {total}")
            return f"the {what} {found}"
    for what, old_histogram in _histograms(pair.was).items():
        histogram = _histograms(pair.now).get(what, old_histogram)
        if histogram.total >= old_histogram.total and grown(old_histogram, histogram) is None:
            found = fallen.format(str(old_histogram.counts), str(histogram.counts))
            return f"a bucket of the {what} {found}"
    return ""


def _counts(one: InstanceTraffic) -> dict[str, tuple[int, int]]:
    """Of each counter the part and the whole."""
    found = {"requests": (one.failures, one.requests)}
    found |= {name: (bad, total) for name, bad, total in one.ratios}
    return found | {name: (0, histogram.total) for name, histogram in _histograms(one).items()}


def _histograms(one: InstanceTraffic) -> dict[str, LatencyHistogram]:
    return {"latencies": one.latency, **dict(one.histograms)}
