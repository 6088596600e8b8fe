"""What each group answered over the time of a rollout, in few enough pieces to be drawn. Pure."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import Final

from flows.course import Course, Ending
from flows.words import count, duration, percent
from tasks.model import LatencyHistogram, Role, Sample, Unseen
from tasks.observe.counting import Traffic, quantile_ms, totals

MOST_BINS: Final = 120


@dataclass(frozen=True)
class Bin:
    """What the groups answered from `start` to `end`, in seconds since the rollout began. `unseen` says why nobody
    knows, and is empty where it is known."""

    start: float
    end: float
    traffic: dict[str, Traffic]
    unseen: str = ""

    @property
    def seconds(self) -> float:
        return self.end - self.start

    @property
    def requests(self) -> int:
        return sum(one.requests for one in self.traffic.values())

    def rate(self, group: str) -> float:
        """Requests per second."""
        return self.traffic[group].requests / self.seconds if self.seconds else 0.0

    def share(self, group: str) -> float:
        """Of all requests, from 0 to 1."""
        return self.traffic[group].requests / self.requests if self.requests else 0.0

    def failed(self, groups: AbstractSet[str]) -> float | None:
        """The share of these groups' requests; None if they answered none."""
        found = [one for group, one in self.traffic.items() if group in groups]
        requests = sum(one.requests for one in found)
        return sum(one.failures for one in found) / requests if requests else None


def bins(course: Course, most: int = MOST_BINS) -> tuple[Bin, ...]:
    """The samples in order; neighbours are added up until at most `most` are left, but never across a gap: there may be
    more if there were many. A time of blindness is one piece."""
    runs = _runs(course.samples)
    total = sum(len(run) for run in runs if isinstance(run[0], Sample))
    width = max(1, ceil(total / max(1, most - len(runs) + 1)))
    return tuple(
        _bin(course, piece)
        for run in runs
        for piece in ([run] if isinstance(run[0], Unseen) else _pieces(run, width))
    )


def _pieces(run: Sequence[Sample | Unseen], width: int) -> Iterable[Sequence[Sample | Unseen]]:
    return (run[first : first + width] for first in range(0, len(run), width))


def _runs(samples: Sequence[Sample | Unseen]) -> list[list[Sample | Unseen]]:
    runs: list[list[Sample | Unseen]] = [[one] for one in samples[:1]]
    for before, after in pairwise(samples):
        if _belong_together(before, after):
            runs[-1].append(after)
        else:
            runs.append([after])
    return runs


def _belong_together(before: Sample | Unseen, after: Sample | Unseen) -> bool:
    if isinstance(before, Unseen) or isinstance(after, Unseen):
        return type(before) is type(after)
    gap = (after.at - before.at).total_seconds() - after.seconds
    return gap < max(0.5, 0.5 * after.seconds)


def _bin(course: Course, samples: Sequence[Sample | Unseen]) -> Bin:
    first, last = samples[0], samples[-1]
    end = since(course, last.at)
    if isinstance(first, Unseen):
        return Bin(since(course, first.at), end, {}, first.reason)
    traffic = {group: totals(samples, {group}) for group in course.groups}
    return Bin(since(course, first.at - timedelta(seconds=first.seconds)), end, traffic)


def since(course: Course, at: datetime) -> float:
    return max(0.0, (at - course.started_at).total_seconds())


def allowed_share(course: Course) -> float | None:
    """The share of requests that may fail, as the judge said."""
    shares = (judged.judgement.numbers.get("failure_share_allowed") for judged in course.verdicts)
    return next((float(share) for share in shares if isinstance(share, int | float)), None)


def who(course: Course, group: str) -> str:
    """A group's name for the legend, with its role where the name does not say it."""
    match course.role(group):
        case Role.CANARY:
            return f"{group} (new)"
        case Role.BASELINE:
            return f"{group} (old, freshly started)"
        case _:
            return f"{group} (old)"


def ended(course: Course) -> str:
    """`rolled back after 14 s`."""
    if course.ending is Ending.GOES_ON:
        return f"goes on since {duration(course.seconds)}"
    return f"{course.ending.value} after {duration(course.seconds)}"


def within(latency: LatencyHistogram, share: float) -> str:
    """In what time this share of the requests was answered, as well as the histogram can tell."""
    if not latency.total:
        return "not measured"
    found = quantile_ms(latency, share)
    highest = f"> {latency.bounds_ms[-1]:g} ms" if latency.bounds_ms else "unknown"
    return highest if found is None else f"≤ {found:g} ms"


def in_words(course: Course) -> str:
    """The picture for those who cannot see it."""
    found = bins(course, 1000)
    new = totals(course.seen, {course.release})
    rates = [one.share(course.release) for one in found if one.requests]
    most = percent(max(rates, default=0.0))
    if not new.requests:
        return f"{course.name} {ended(course)}: it was not seen to answer any request"
    return (
        f"{course.name} {ended(course)}: it got up to {most} of the requests;"
        f" of its {count(new.requests, 'request')} {percent(new.failure_share)} failed"
    )


def stacked(course: Course) -> list[str]:
    """The new group at the bottom, on a straight base line: its share is what people look for."""
    order = (Role.CANARY, Role.BASELINE, Role.STABLE, Role.WARM)
    return sorted(course.groups, key=lambda group: order.index(course.role(group)))
