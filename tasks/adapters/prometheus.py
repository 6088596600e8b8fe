"""Prometheus: what each instance answered, as it was scraped from them. Now, over the past, and in sum.

Every reading is evaluated at one moment, a multiple of the scrape interval: so each instance was scraped equally often from
one to the next, and asking faster than it scrapes finds nothing new. The raw counters are differenced by tasks/observe.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import floor
from typing import Final

from tasks.adapters import prometheus_queries
from tasks.adapters.prometheus_answers import Series, UnusableAnswerError, said, series_in
from tasks.adapters.prometheus_queries import PART, Question, Shape
from tasks.adapters.prometheus_session import Answer, PrometheusSession
from tasks.adapters.prometheus_traffic import Member, Moment, Point
from tasks.errors import MetricsUnreadableError, TransientError
from tasks.model import Environment, GroupStatus, Health, Reading
from tasks.ports import Fleet
from tasks.sources import PrometheusSource, Sli

SETTLE_SECONDS: Final = 1.0
"""A scrape bears the time at which it began, and is there when it has ended."""

Clock = Callable[[], datetime]
Ask = Callable[[str], Answer]


def utc_now() -> datetime:
    return datetime.now(UTC)


class PrometheusMetrics:
    """Fits ports.Metrics. Which instances there are is asked of the platform; all that are ready and take traffic must have
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
            raise self._unreadable(environment, error) from error
        return Reading(self._clock(), found)

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

    def _unreadable(self, environment: Environment, found: object) -> MetricsUnreadableError:
        return MetricsUnreadableError(
            f"asked Prometheus at {self._source.url} for the counters of {environment.service} in {environment.name};"
            f" found {found}"
        )


def _serving(groups: Sequence[GroupStatus]) -> Iterator[Member]:
    """Ready, and sent requests: who else has no scrape is no news."""
    for group in groups:
        for one in group.instances:
            if group.weight > 0 and one.health is Health.READY:
                yield Member(group.name, one.name, one.address)
