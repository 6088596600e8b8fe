"""Prometheus: what each instance answered, as it was scraped from them. Now, over the past, and in sum.

Every reading is evaluated at one moment, a multiple of the scrape interval: so each instance was scraped equally often from
one to the next, and asking faster than it scrapes finds nothing new. The raw counters are differenced by tasks/observe.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from math import ceil, floor
from typing import Final

from tasks.adapters import prometheus_past, prometheus_queries
from tasks.adapters.prometheus_answers import Series, UnusableAnswerError, said, series_in
from tasks.adapters.prometheus_queries import FAILURES, PART, REQUESTS, Question, Shape
from tasks.adapters.prometheus_session import Answer, PrometheusSession
from tasks.adapters.prometheus_traffic import Member, Moment, Point
from tasks.errors import MetricsUnreadableError, TransientError
from tasks.model import Environment, GroupStatus, Health, Reading, Unseen
from tasks.ports import Fleet, WindowTotals
from tasks.sources import PrometheusSource, Sli

SETTLE_SECONDS: Final = 1.0
"""A scrape bears the time at which it began, and is there when it has ended."""

MOST_MOMENTS: Final = 240
"""In one answer: an hour of 15 s scrapes."""

Clock = Callable[[], datetime]
Ask = Callable[[str], Answer]


def utc_now() -> datetime:
    return datetime.now(UTC)


class PrometheusMetrics:
    """Fits ports.Metrics and ports.PastMetrics. Which instances there are is asked of the platform; all that are ready and take traffic must have
    been scraped."""

    def __init__(
        self,
        source: PrometheusSource,
        fleet: Fleet,
        slis: Sequence[Sli] = (),
        clock: Clock = utc_now,
    ) -> None:
        self._source, self._fleet, self._slis, self._clock = source, fleet, slis, clock
        self._session = PrometheusSession(source)
        self._asked = prometheus_queries.questions(source, slis)

    def read(self, environment: Environment) -> Reading:
        """Cumulative counters as of the last scrape. MetricsUnreadableError if they cannot be told for every instance."""
        members = self._members(environment)
        if not members:
            return Reading(self._clock(), ())
        at = self._grid(self._clock().timestamp() - SETTLE_SECONDS)

        def ask(query: str) -> Answer:
            return self._session.ask("query", {"query": query, "time": f"{at:.3f}"})

        try:
            points = [
                Point(one.labels, value)
                for one in self._answered(ask)
                for value in one.values.values()
            ]
            moment = Moment(at, points, self._source, members)
            found = moment.traffic(self._by_name, self._slis)
        except UnusableAnswerError as error:
            what = f"the counters of {environment.service} in {environment.name}"
            raise self._useless(what, error) from error
        return Reading(self._clock(), found)

    # ---- the past --------------------------------------------------------------------------------

    def history(
        self, groups: Sequence[GroupStatus], start: datetime, end: datetime
    ) -> list[Reading | Unseen]:
        """One reading at each multiple of the scrape interval; Unseen where not all instances can be told. `groups` name the
        instances, whatever has become of them since."""
        members = [
            Member(one.name, each.name, each.address) for one in groups for each in one.instances
        ]
        step, first = self._source.scrape_seconds, self._grid(start.timestamp())
        count = max(0, floor((self._grid(end.timestamp()) - first) / step + 1e-9) + 1)
        times = [round(first + number * step, 3) for number in range(count)]
        parts = [times[at : at + MOST_MOMENTS] for at in range(0, count, MOST_MOMENTS)]
        try:
            series = [list(self._answered(partial(self._over, part, step))) for part in parts]
            found = prometheus_past.joined_series(series)
        except UnusableAnswerError as error:
            raise self._useless("the past", error) from error
        return list(
            prometheus_past.readings_in(
                found, times, members, self._source, self._by_name, self._slis
            )
        )

    def totals(self, seconds: float) -> WindowTotals | None:
        """Of all targets of the selector in the last `seconds`, to the nearest of up to 240 looks."""
        step = self._source.scrape_seconds * ceil(
            seconds / self._source.scrape_seconds / MOST_MOMENTS
        )
        last = self._grid(self._clock().timestamp() - SETTLE_SECONDS)
        times = [last - seconds, last]
        asked = [one for one in self._asked if one.name in (REQUESTS, FAILURES)]
        try:
            answer = self._over(times, step, prometheus_queries.joined(asked))
            if answer.refused:
                raise UnusableAnswerError(f"that it does not take it: {said(answer.body)}")
            return prometheus_past.totals_in(series_in(answer.body))
        except UnusableAnswerError as error:
            raise self._useless(f"the last {seconds:g} s", error) from error

    def _over(self, times: Sequence[float], step: float, query: str) -> Answer:
        ends = {"start": f"{times[0]:.3f}", "end": f"{times[-1]:.3f}", "step": f"{step:g}"}
        return self._session.ask("query_range", {"query": query, **ends})

    @property
    def _by_name(self) -> Mapping[str, Question]:
        return {one.name: one for one in self._asked}

    def _grid(self, seconds: float) -> float:
        step = self._source.scrape_seconds
        return floor(seconds / step + 1e-9) * step

    def _members(self, environment: Environment) -> tuple[Member, ...]:
        try:
            status = self._fleet.read(environment)
        except TransientError as error:
            raise MetricsUnreadableError(
                f"the instances of {environment.service} in {environment.name} cannot be told, so nor can their counters: {error}"
            ) from error
        return tuple(_serving(status.groups))

    # ---- asking ----------------------------------------------------------------------------------

    def _answered(self, ask: Ask) -> Iterator[Series]:
        """All values and times at one moment in one answer; native histograms each on their own."""
        answer = ask(prometheus_queries.joined(self._asked))
        if answer.refused:
            self._blame(ask, answer)
        yield from series_in(answer.body)
        for question in self._asked:
            if question.shape is Shape.NATIVE:
                yield from self._native(ask, question)

    def _native(self, ask: Ask, question: Question) -> Iterator[Series]:
        answer = ask(question.query)
        if answer.refused:
            raise UnusableAnswerError(f"that it does not take {question.text}: {said(answer.body)}")
        for one in series_in(answer.body):
            yield Series({**one.labels, PART: question.name}, one.values)

    def _blame(self, ask: Ask, answer: Answer) -> None:
        """Which of the queries it does not take."""
        for question in self._asked:
            if (alone := ask(question.query)).refused:
                raise UnusableAnswerError(
                    f"that it does not take {question.text} ({question.name}): {said(alone.body)}; correct it in service.yaml"
                )
        raise UnusableAnswerError(
            f"that it does not take all queries together: {said(answer.body)}"
        )

    def _useless(self, what: str, found: object) -> MetricsUnreadableError:
        return MetricsUnreadableError(
            f"asked Prometheus at {self._source.url} for {what}; found {found}"
        )


def _serving(groups: Sequence[GroupStatus]) -> Iterator[Member]:
    """Ready, and sent requests: who else has no scrape is no news."""
    for group in groups:
        for one in group.instances:
            if group.weight > 0 and one.health is Health.READY:
                yield Member(group.name, one.name, one.address)
