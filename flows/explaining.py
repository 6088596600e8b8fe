"""Explaining a verdict: per metric the evidence and its threshold, per instance what it answered, and how it came to that."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from pydantic import JsonValue
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from flows.bins import ended, within
from flows.course import Course, courses, newest
from flows.evidence_plot import AT_MOST, ODDS, power, series
from flows.retelling import Look, looks
from flows.strip import LEVELS
from flows.words import count, duration, one_line, percent
from tasks import platforms
from tasks.errors import NotFoundError
from tasks.journal.rules import fold
from tasks.model import Sample
from tasks.observe.counting import totals
from tasks.service import ServiceSpec

MOST_MARKS: Final = 40
INDENTED: Final = (0, 0, 0, 2)


@dataclass(frozen=True)
class Explanation:
    """One rollout, and every look of its judge."""

    course: Course
    looks: tuple[Look, ...]


def explained(service: str, release: str) -> list[Explanation]:
    """Of the newest rollout into each environment. NotFoundError if the journal does not know the release."""
    events = platforms.journal().events(service)
    known = fold(events).releases.get((service, release))
    if known is None:
        raise NotFoundError(
            f"the journal knows no release {release!r} of {service!r}; `bakewell history {service}` lists them"
        )
    return [
        Explanation(course, looks(course, known.spec))
        for course in newest(courses(events, service, release))
    ]


def as_json(found: Sequence[Explanation]) -> list[JsonValue]:
    """Per rollout: service, environment, release, ending, reason, looks [{seconds, step, verdict, reason, numbers}]."""
    return [
        {
            "service": one.course.environment.service,
            "environment": one.course.environment.name,
            "release": one.course.release,
            "ending": one.course.ending.value,
            "reason": one.course.reason,
            "looks": [
                {
                    "seconds": look.seconds,
                    "step": look.step,
                    "verdict": look.judgement.verdict.value,
                    "reason": look.judgement.reason,
                    "numbers": look.judgement.numbers,
                }
                for look in one.looks
            ],
        }
        for one in found
    ]


def as_picture(found: Sequence[Explanation]) -> RenderableType:
    """For people."""
    return Group(*(part for one in found for part in _told(one)))


def _told(one: Explanation) -> Iterable[RenderableType]:
    yield Text(f"{one.course.name}: {ended(one.course)}", style="bold")
    if not one.looks:
        yield Text("  no traffic was observed: its gates asked for nothing but ready instances\n")
        return
    last = one.looks[-1]
    yield Text(f"  {last.judgement.verdict.value}: {one_line(last.judgement.reason)}")
    yield Text(f"  {count(len(one.looks), 'look')} in {duration(one.course.seconds)}")
    if series(one.looks, ODDS):
        yield Padding(_metrics(one.looks), INDENTED, expand=False)
    yield Padding(_instances(one.course), INDENTED, expand=False)
    yield Text("")


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")


def _metrics(found: Sequence[Look]) -> Table:
    numbers, needed = found[-1].judgement.numbers, _needed(found)
    table = _table()
    for heading in ("metric", "compared", "difference", "odds", f"over time (| {power(needed)})"):
        table.add_column(heading)
    table.add_column("at most", justify="right")
    table.add_column("allowed", justify="right")
    bounds = series(found, AT_MOST)
    for metric, points in series(found, ODDS).items():
        margin = numbers.get(f"{metric}: margin")
        table.add_row(
            metric,
            str(numbers.get(f"{metric}: compared", "")),
            f"{float(str(numbers.get(f'{metric}: difference', 0))):+.3g}",
            power(points[-1][1]),
            _sparkline([value for _, value in points], needed),
            percent(bounds[metric][-1][1]) if metric in bounds else "",
            percent(float(str(margin))) if margin is not None else "",
        )
    return table


def _needed(found: Sequence[Look]) -> float:
    values = [look.judgement.numbers.get("log_odds_needed") for look in found]
    return next((float(str(one)) for one in reversed(values) if one is not None), 4.605)


def _sparkline(values: Sequence[float], needed: float) -> str:
    """At most 40 looks, the newest among them; a full bar is what a roll-back needs."""
    step = ceil(len(values) / MOST_MARKS) or 1
    chosen = values[::-1][::step][::-1]
    return "".join(LEVELS[round(8 * max(0.0, min(1.0, value / needed)))] for value in chosen)


def _instances(course: Course) -> Table:
    table = _table()
    table.add_column("instance")
    for heading in ("requests", "failed", "p50", "p99"):
        table.add_column(heading, justify="right")
    names = {(one.group, one.instance) for sample in course.seen for one in sample.instances}
    for group, name in sorted(names, key=lambda key: (key[0] != course.release, key)):
        found = totals(_only(course, name), {group})
        times = [within(found.latency, share) for share in (0.5, 0.99)]
        failed = f"{found.failures:,} ({percent(found.failure_share)})" if found.requests else "-"
        table.add_row(Text(one_line(name)), f"{found.requests:,}", failed, *times)
    return table


def _only(course: Course, name: str) -> list[Sample]:
    return [
        replace(one, instances=tuple(each for each in one.instances if each.instance == name))
        for one in course.seen
    ]


def spec_of(service: str) -> ServiceSpec:
    """That of the newest release. NotFoundError if there is none."""
    releases = [
        one
        for (name, _), one in fold(platforms.journal().events(service)).releases.items()
        if name == service
    ]
    if not releases:
        raise NotFoundError(
            f"nothing of {service!r} was ever released; `bakewell status` lists what was"
        )
    return max(releases, key=lambda one: one.started_at).spec
