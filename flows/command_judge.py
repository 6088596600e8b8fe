"""What a person can ask the judge: `bakewell judge …` and `bakewell explain`. Nothing here changes what runs."""

import json as plain_json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flows import calibration, console, explaining
from flows.course import Course, courses
from flows.past import remembered
from flows.retelling import Look, Placebo, looks_at, placebo
from flows.words import duration, percent
from tasks import platforms
from tasks.errors import InvalidInputError, NotFoundError
from tasks.journal.rules import fold
from tasks.model import Environment, LatencyHistogram
from tasks.observe.counting import totals
from tasks.observe.forecasting import (
    Forecast,
    Situation,
    Slower,
    until_found_slow,
    until_promoted,
    until_rolled_back,
)
from tasks.observe.peers import USUAL_BURST
from tasks.observe.views import USUAL_ERRORS, errors_metric
from tasks.service import Canary, EnvironmentSpec, ServiceSpec

Json = Annotated[bool, Parameter(name="--json", negative="")]
From = Annotated[datetime | None, Parameter(name="--from")]
To = Annotated[datetime | None, Parameter(name="--to")]
FAULTS = (0.005, 0.01, 0.05, 0.2, 1.0)
SLOWNESS = {"10 % longer answers": Slower(1.1), "the slowest 5 % twice as long": Slower(2.0, 0.95)}
TOO_FEW = 30

judge = App(
    name="judge",
    help="Ask the judge: what it will see, what it would have said, how often it is wrong.",
)


def explain(service: str, release: str, *, json: Json = False) -> int:
    """Show why a release was promoted, or not: evidence per metric over time, and what each instance answered.

    Parameters
    ----------
    service
        Name of the service.
    release
        Its release, as `bakewell history` shows it (r7).
    json
        Print every look with its numbers.
    """
    found = explaining.explained(service, release)
    _show(json, explaining.as_json(found), lambda: explaining.as_picture(found))
    return 0


@judge.command
def forecast(service: str, environment: str = "", *, rate: float = 0.0, json: Json = False) -> int:
    """Say before any rollout how long the judge will take to find a fault, and how many requests will fail until then.

    Parameters
    ----------
    service
        Name of the service.
    environment
        Only this one; else every one that is observed.
    rate
        Requests per second of the whole service; else as in the last rollout that was observed.
    json
        Print as JSON.
    """
    spec = explaining.spec_of(service)
    found = [
        (place, _situation(spec, place, rate or _rate(service, place.name)))
        for place in spec.environments
        if isinstance(place.strategy, Canary) and environment in ("", place.name)
    ]
    if not found:
        raise InvalidInputError(
            f"{service} has no environment {environment!r} with a canary strategy: nothing is judged there"
        )
    told = {place.name: _forecasts(here, _latency(service, place.name)) for place, here in found}
    data = {name: {key: asdict(one) for key, one in each.items()} for name, each in told.items()}
    _show(json, data, lambda: Group(*(_forecast_table(*one, told) for one in found)))
    return 0


@judge.command
def replay(
    service: str,
    release: str,
    *,
    environment: str = "",
    start: From = None,
    end: To = None,
    json: Json = False,
) -> int:
    """Let the judge look again at what was recorded of a release, and compare its verdict with the one given then.

    With a time: judge what runs there now, by what the environment's Prometheus remembers of that time.

    Parameters
    ----------
    service
        Name of the service.
    release
        Its release. With a time: the group or instance that plays the canary; everybody else is its peer.
    environment
        With a time: where.
    start
        Ask its Prometheus for what happened since then (2026-01-31T12:00), not the journal.
    end
        Until then; else until now.
    json
        Print as JSON.
    """
    if start:
        found = [_remembered(service, release, environment, start, end)]
    else:
        found = explaining.explained(service, release)
    _show(
        json,
        explaining.as_json(found),
        lambda: Group(*(_replayed(one.course, one.looks) for one in found)),
    )
    return 0


@judge.command(name="placebo")
def placebo_command(
    service: str,
    environment: str,
    *,
    start: From = None,
    end: To = None,
    store: bool = False,
    json: Json = False,
) -> int:
    """Let each instance of the stable artifact play the canary in what was recorded: how often would it have been rolled back?

    Parameters
    ----------
    service
        Name of the service.
    environment
        Name of the environment.
    start
        Ask its Prometheus for what happened since then (2026-01-31T12:00), not the journal.
    end
        Until then; else until now.
    store
        Let the judge use what was measured, for 30 days.
    json
        Print as JSON.
    """
    spec = explaining.spec_of(service)
    if (place := spec.environment_spec(environment)) is None:
        raise InvalidInputError(f"{service} has no environment {environment!r}")
    recorded = [remembered(spec, place, start, end)] if start else _recorded(service, environment)
    if not any(course.seen for course in recorded):
        raise NotFoundError(
            f"nothing was observed of {service} in {environment} {'then' if start else 'yet'}; release it once with a canary"
            " strategy, or name a time with --from that its Prometheus remembers"
        )
    found = placebo(recorded, spec, place.observe)
    if store:
        now = datetime.now(UTC).isoformat()
        measured = calibration.Calibration(
            found.burst, found.runs, found.false_alarms, found.batches, now
        )
        calibration.store(spec.place(place), measured)
    _show(json, asdict(found), lambda: _placebo_words(spec.place(place), found, store))
    return 0


# ---- what is shown -------------------------------------------------------------------------------


def _show(as_json: bool, data: object, picture: Callable[[], RenderableType]) -> None:
    if as_json:
        print(plain_json.dumps(data, indent=2, default=str))
    else:
        console.out(picture())


def _remembered(
    service: str, canary: str, environment: str, start: datetime, end: datetime | None
) -> explaining.Explanation:
    """One of its groups or instances, judged by what Prometheus remembers."""
    spec = explaining.spec_of(service)
    if (place := spec.environment_spec(environment)) is None:
        known = ", ".join(one.name for one in spec.environments)
        raise InvalidInputError(
            f"{service} has no environment {environment!r}; name one by --environment: {known}"
        )
    course = remembered(spec, place, start, end)
    return explaining.Explanation(replace(course, release=canary), looks_at(course, canary, spec))


def _situation(spec: ServiceSpec, place: EnvironmentSpec, rate: float) -> Situation:
    """Of the first observed step: it is the one with the least traffic."""
    assert isinstance(place.strategy, Canary), "only canaries are forecast"
    canary, settings = place.strategy, place.observe
    each = rate * canary.weights[0] / 100 / canary.replicas
    metric = errors_metric(spec.objectives, settings)
    here = spec.place(place)
    burst = settings.burst or calibration.measured_burst(here) or USUAL_BURST
    return Situation(
        canary_rate=each,
        others_rate=max(rate - each * canary.replicas, 0.0),
        peers=canary.baseline,
        usual=USUAL_ERRORS,
        batch_seconds=settings.batch_seconds,
        horizon_seconds=settings.deadline_seconds,
        margin=metric.margin or 0.0,
        burst=burst,
    )


def _rate(service: str, environment: str) -> float:
    """Requests per second in the last rollout that was observed."""
    for course in reversed(_recorded(service, environment)):
        seconds = sum(one.seconds for one in course.seen)
        if seconds > 0:
            return totals(course.seen, set(course.groups)).requests / seconds
    raise NotFoundError(
        f"nothing was observed of {service} in {environment} yet, so its traffic is not known; give it by --rate"
    )


def _recorded(service: str, environment: str) -> list[Course]:
    events = platforms.journal().events(service)
    return [
        course
        for name, release in fold(events).releases
        if name == service
        for course in courses(events, service, release)
        if course.environment.name == environment
    ]


def _latency(service: str, environment: str) -> LatencyHistogram:
    """How long answers took in all rollouts that were observed; empty if none was."""
    seen = [one for course in _recorded(service, environment) for one in course.seen]
    groups = {found.group for one in seen for found in one.instances}
    return totals(seen, groups).latency


def _forecasts(here: Situation, latency: LatencyHistogram) -> dict[str, Forecast]:
    """What is slower can only be told where it is known how long answers take."""
    faults = {f"{percent(one)} errors": until_rolled_back(here, one) for one in FAULTS}
    if latency.total:
        faults |= {name: until_found_slow(here, latency, one) for name, one in SLOWNESS.items()}
    return {**faults, "as good as before": until_promoted(here)}


def _forecast_table(
    place: EnvironmentSpec, here: Situation, told: dict[str, dict[str, Forecast]]
) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 2), header_style="dim")
    for heading in ("a version with", "verdict", "in about", "harmed until then"):
        table.add_column(heading, justify="left" if heading == "a version with" else "right")
    for fault, one in told[place.name].items():
        good = fault.startswith("as good")
        word = f"{'promote' if good else 'roll back'} {percent(one.share)}"
        when = duration(one.median_seconds) if one.median_seconds is not None else "not in time"
        table.add_row(fault, word, when, f"{one.failed_requests:,.0f}")
    peers = f"{here.peers} peers" if here.peers >= 2 else "no peers of its load: by votes"
    title = (
        f"{place.name}: the canary gets {here.canary_rate:.1f} of {here.canary_rate + here.others_rate:.1f} requests/s;"
        f" {peers}; a batch is {here.batch_seconds:g} s, the deadline {duration(here.horizon_seconds)}"
    )
    return Group(Text(title, style="bold"), table, Text(""))


def _replayed(course: Course, found: Sequence[Look]) -> RenderableType:
    then = [one.judgement.verdict.value for one in course.verdicts if one.judgement.numbers]
    lines = [Text(course.name, style="bold")]
    for look in found:
        words = (
            f"{duration(look.seconds):>8}  {look.judgement.verdict.value}: {look.judgement.reason}"
        )
        lines.append(Text(f"  {words}"))
    lines.append(Text(f"  given then: {', '.join(then) or 'no verdict on traffic'}\n"))
    return Group(*lines)


def _placebo_words(here: Environment, found: Placebo, stored: bool) -> RenderableType:
    share = percent(found.false_alarms / found.runs) if found.runs else "none"
    lines = [
        (
            f"{here.service} in {here.name}: {found.runs} instances of stable artifacts played the canary, over {found.batches}"
            f" batches; {found.false_alarms} would have been rolled back ({share})"
        ),
        f"errors come {found.burst:.1f} at a time",
    ]
    if found.runs < TOO_FEW:
        lines.append(f"fewer than {TOO_FEW} runs say little: let it observe more rollouts first")
    if stored:
        lines.append("stored: the judge uses it for 30 days, where service.yaml sets no burst")
    return Text("\n".join(lines))
