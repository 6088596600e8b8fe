"""The past as the environment's own Prometheus remembers it: a course that nobody has to have been observed for."""

from datetime import datetime

from flows.course import Course
from tasks import platforms
from tasks.errors import InvalidInputError, NotFoundError
from tasks.observe.scrapes import samples_of
from tasks.service import EnvironmentSpec, ServiceSpec


def remembered(
    spec: ServiceSpec, place: EnvironmentSpec, start: datetime, end: datetime | None
) -> Course:
    """What the instances that serve now have answered between these times (without a zone: of this machine's)."""
    here, name = spec.place(place), f"{spec.service} in {place.name}"
    if place.metrics is None:
        raise InvalidInputError(
            f"{name} has no `metrics`, and its splitter remembers nothing; leave the times out to ask the journal"
        )
    begin = start.astimezone()
    until = end.astimezone() if end else datetime.now().astimezone()
    if until <= begin:
        raise InvalidInputError(
            f"asked for the time from {begin} to {until}; it must not be over before it begins"
        )
    groups = [one for one in platforms.connect(here.platform).fleet.read(here).groups if one.weight]
    if not groups:
        raise NotFoundError(f"nothing serves {name} now; see `bakewell status {spec.service}`")
    past = platforms.past_metrics(here, place.metrics, spec.slis_of(place))
    samples = samples_of(past.history(groups, begin, until))
    return Course("", here, groups[0].artifact, begin, until, samples=samples)
