"""From the series of one moment to what each instance had counted by then. Pure. UnusableAnswerError where they lie.

Nothing is guessed: an instance without a scrape, a count that is no number, two targets for one instance and buckets that
differ make the moment unusable for all instances, because a canary is only compared with peers of the same moment.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Final

from tasks.adapters import prometheus_buckets
from tasks.adapters.prometheus_answers import Native, UnusableAnswerError, Value
from tasks.adapters.prometheus_queries import (
    FAILURES,
    LATENCY,
    PART,
    REQUESTS,
    UP,
    Question,
    Shape,
    times_of,
)
from tasks.model import InstanceTraffic, LatencyHistogram
from tasks.sources import GaugeSli, HistogramSli, PrometheusSource, RatioSli, Sli, Unit

FUTURE_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Member:
    """An instance that takes traffic."""

    group: str
    name: str
    address: str


@dataclass(frozen=True)
class Point:
    """One series at one moment. `labels` may say by PART which question it answers."""

    labels: Mapping[str, str]
    value: Value


class Moment:
    """All series at one moment, sorted by question and instance."""

    def __init__(
        self,
        time: float,
        points: Sequence[Point],
        source: PrometheusSource,
        members: Sequence[Member],
    ) -> None:
        self._time, self._source, self._members = time, source, members
        self._found: dict[str, dict[str, list[Point]]] = {}
        known = known_names(members)
        for point in points:
            label = point.labels.get(source.instance_label, "")
            name = known.get(label) or known.get(label.rpartition(":")[0])
            if name is not None:
                question = self._found.setdefault(point.labels.get(PART, ""), {})
                question.setdefault(name, []).append(point)

    def traffic(
        self, asked: Mapping[str, Question], slis: Sequence[Sli]
    ) -> tuple[InstanceTraffic, ...]:
        """Of every member, or UnusableAnswerError."""
        requests = self._counts(asked[REQUESTS])
        failures = self._counts(asked[FAILURES])
        scraped = self._scraped(asked[REQUESTS], requests)
        self._refuse_unrelated(asked[REQUESTS], requests, asked[FAILURES], failures)
        latencies: Mapping[str, LatencyHistogram] = {}
        if LATENCY in asked:
            scale = 1000.0 if self._source.signals.unit is Unit.SECONDS else 1.0
            latencies = self._histograms(asked[LATENCY], scale)
            self._refuse_unmeasured(asked[LATENCY], requests, latencies)
        own = _Own(self, asked, slis)
        return tuple(
            InstanceTraffic(
                one.group,
                one.name,
                requests.get(one.name, 0),
                failures.get(one.name, 0),
                latencies.get(one.name, LatencyHistogram()),
                own.gauges(one.name),
                own.ratios(one.name),
                own.histograms(one.name),
                scraped_at=datetime.fromtimestamp(scraped[one.name], UTC),
            )
            for one in self._members
        )

    # ---- when it was scraped ---------------------------------------------------------------------

    def _scraped(self, question: Question, requests: Mapping[str, int]) -> dict[str, float]:
        """Of each member. One that is up and has not counted anything yet has answered nothing, which is seen."""
        if not requests:
            names = ", ".join(one.name for one in self._members)
            raise UnusableAnswerError(
                f"no series {question.query} for any of {names}; nobody has asked them yet, or exporter, selector or"
                f" instance_label ({self._source.instance_label}) do not fit: see the targets' labels in its web page"
            )
        found = self._times(question)
        for name, times in self._alive().items():
            found.setdefault(name, times)
        if missing := [one.name for one in self._members if one.name not in found]:
            raise UnusableAnswerError(
                f"no scrape of {', '.join(missing)}: the target is down, or not discovered yet; see its targets page"
            )
        self._refuse_untimely(found)
        return found

    def _times(self, question: Question) -> dict[str, float]:
        given = self._found.get(times_of(question.name), {})
        return {name: max(map(_number, points)) for name, points in given.items()}

    def _alive(self) -> dict[str, float]:
        times = self._found.get(times_of(UP), {})
        return {
            name: max(map(_number, times[name]))
            for name, points in self._found.get(UP, {}).items()
            if name in times and any(_number(one) == 1 for one in points)
        }

    def _refuse_untimely(self, scraped: Mapping[str, float]) -> None:
        for name, at in scraped.items():
            age = self._time - at
            if not isfinite(age) or age < -FUTURE_SECONDS:
                raise UnusableAnswerError(
                    f"a scrape of {name} {-age:.0f} s in the future: the clock of whoever wrote its time is wrong; set it"
                )
            if age > self._source.max_staleness_seconds:
                raise UnusableAnswerError(
                    f"the newest scrape of {name} {age:.0f} s old, {self._source.max_staleness_seconds:g} are allowed;"
                    " see whether it still scrapes, or raise max_staleness_seconds"
                )

    # ---- what was counted ------------------------------------------------------------------------

    def _counts(self, question: Question) -> dict[str, int]:
        self._refuse_untimely(self._times(question))
        given = self._found.get(question.name, {})
        return {name: _count(question, name, self._one(question, name)) for name in given}

    def _one(self, question: Question, name: str) -> Value:
        points = self._found[question.name][name]
        if len(points) > 1:
            raise UnusableAnswerError(_twice(question, name, points))
        return points[0].value

    def _refuse_unrelated(
        self,
        all_question: Question,
        requests: Mapping[str, int],
        question: Question,
        failures: Mapping[str, int],
    ) -> None:
        """A counter that does not exist would read as "nothing ever failed"."""
        if not failures and _metric(question) != _metric(all_question):
            raise UnusableAnswerError(
                f"no series {question.query} for any instance: is it called so? A counter that begins at 0 would be there"
            )
        for name, failed in failures.items():
            if failed > requests.get(name, 0):
                raise UnusableAnswerError(
                    f"{failed} {question.name} of {requests.get(name, 0)} {all_question.name} on {name}: one of"
                    " them counts something else; compare both in its web page"
                )

    def _histograms(self, question: Question, scale: float) -> dict[str, LatencyHistogram]:
        self._refuse_untimely(self._times(question))
        if question.shape is Shape.NATIVE:
            return self._native(question, scale)
        given = self._found.get(question.name, {})
        found = {name: self._classic(question, name, scale) for name in given}
        if len(kinds := {one.bounds_ms: name for name, one in found.items()}) > 1:
            raise UnusableAnswerError(
                f"different buckets of {question.text} on {' and '.join(kinds.values())}: their versions cannot be compared;"
                " let both have the same le"
            )
        return found

    def _classic(self, question: Question, name: str, scale: float) -> LatencyHistogram:
        buckets: dict[str, float] = {}
        for point in self._found[question.name][name]:
            if (le := point.labels.get("le", "")) in buckets:
                raise UnusableAnswerError(_twice(question, name, self._found[question.name][name]))
            buckets[le] = _number(point)
        return self._named(question, name, lambda: prometheus_buckets.classic(buckets, scale))

    def _native(self, question: Question, scale: float) -> dict[str, LatencyHistogram]:
        given = {name: self._one(question, name) for name in self._found.get(question.name, {})}
        for name, value in given.items():
            if not isinstance(value, Native):
                raise UnusableAnswerError(
                    f"numbers instead of native histograms for {question.text} on {name}; is it a classic one? Name its _bucket"
                )
        histograms = {name: value for name, value in given.items() if isinstance(value, Native)}
        return prometheus_buckets.native(histograms, scale)

    @staticmethod
    def _named(question: Question, name: str, made: "prometheus_buckets.Made") -> LatencyHistogram:
        try:
            return made()
        except UnusableAnswerError as error:
            raise UnusableAnswerError(
                f"{error} in {question.text} on {name}; see its /metrics"
            ) from error

    def _refuse_unmeasured(
        self,
        question: Question,
        requests: Mapping[str, int],
        latencies: Mapping[str, LatencyHistogram],
    ) -> None:
        if silent := [name for name, count in requests.items() if count and name not in latencies]:
            raise UnusableAnswerError(
                f"no histogram {question.text} for {', '.join(silent)}, though there are requests; name it in `latency`,"
                " or say `none`"
            )

    # ---- for the service's own -------------------------------------------------------------------

    def ratio(self, part: Question, total: Question) -> dict[str, tuple[int, int]]:
        """Part and whole, by instance."""
        parts, totals = self._counts(part), self._counts(total)
        if not totals:
            raise UnusableAnswerError(_nowhere(total))
        self._refuse_unrelated(total, totals, part, parts)
        return {name: (parts.get(name, 0), count) for name, count in totals.items()}

    def histogram(self, question: Question) -> dict[str, LatencyHistogram]:
        if not (found := self._histograms(question, 1.0)):
            raise UnusableAnswerError(_nowhere(question))
        return found

    def gauge(self, question: Question) -> dict[str, float]:
        self._refuse_untimely(self._times(question))
        given = {name: self._one(question, name) for name in self._found.get(question.name, {})}
        if not given:
            raise UnusableAnswerError(_nowhere(question))
        for name, value in given.items():
            if isinstance(value, Native) or not isfinite(value):
                raise UnusableAnswerError(f"{value} for the gauge {question.text} on {name}")
        return {name: value for name, value in given.items() if not isinstance(value, Native)}


class _Own:
    """The service's own SLIs at one moment."""

    def __init__(self, moment: Moment, asked: Mapping[str, Question], slis: Sequence[Sli]) -> None:
        self._ratios: dict[str, dict[str, tuple[int, int]]] = {}
        self._histograms: dict[str, dict[str, LatencyHistogram]] = {}
        self._gauges: dict[str, dict[str, float]] = {}
        for sli in slis:
            match sli:
                case RatioSli():
                    found = moment.ratio(asked[f"{sli.name} part"], asked[f"{sli.name} total"])
                    self._ratios[sli.name] = found if sli.bad else _turned(found)
                case HistogramSli():
                    self._histograms[sli.name] = moment.histogram(asked[sli.name])
                case GaugeSli():
                    self._gauges[sli.name] = moment.gauge(asked[sli.name])

    def ratios(self, instance: str) -> tuple[tuple[str, int, int], ...]:
        return tuple(
            (name, *one[instance]) for name, one in self._ratios.items() if instance in one
        )

    def histograms(self, instance: str) -> tuple[tuple[str, LatencyHistogram], ...]:
        return tuple(_of(self._histograms, instance))

    def gauges(self, instance: str) -> tuple[tuple[str, float], ...]:
        return tuple((name, one[instance]) for name, one in self._gauges.items() if instance in one)


def _of(
    found: Mapping[str, Mapping[str, LatencyHistogram]], instance: str
) -> Iterator[tuple[str, LatencyHistogram]]:
    yield from ((name, one[instance]) for name, one in found.items() if instance in one)


def _turned(found: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Good of all becomes bad of all."""
    return {name: (total - good, total) for name, (good, total) in found.items()}


def known_names(members: Sequence[Member]) -> dict[str, str]:
    """By what a label may call it: its name, its address, and its host where each has one of its own."""
    hosts = [one.address.rpartition(":")[0] for one in members]
    known = {one.address: one.name for one in members} | {one.name: one.name for one in members}
    if len(set(hosts)) == len(hosts):
        known |= dict(zip(hosts, (one.name for one in members), strict=True))
    known.pop("", None)
    return known


def _count(question: Question, name: str, value: Value) -> int:
    if isinstance(value, Native):
        raise UnusableAnswerError(f"a native histogram where {question.text} should be a counter")
    if not isfinite(value) or value < 0:
        raise UnusableAnswerError(
            f"{value:g} for the counter {question.text} on {name}; see its /metrics"
        )
    return round(value)


def _number(point: Point) -> float:
    if isinstance(point.value, Native):
        raise UnusableAnswerError("a native histogram where a number should be")
    return point.value


def _metric(question: Question) -> str:
    return question.text.partition("{")[0].strip()


def _nowhere(question: Question) -> str:
    return (
        f"no series {question.text} for any instance; it must have the label of the instance, and begin before it is"
        " counted for the first time"
    )


def _twice(question: Question, name: str, points: Sequence[Point]) -> str:
    differ = sorted(
        {
            f"{label}={point.labels.get(label, '')}"
            for label in {key for point in points for key in point.labels} - {"le"}
            for point in points
            if len({other.labels.get(label, "") for other in points}) > 1
        }
    )
    return (
        f"{question.text} more than once for {name} ({', '.join(differ[:6]) or 'the same labels'}): it would count twice;"
        " narrow it by `selector`"
    )
