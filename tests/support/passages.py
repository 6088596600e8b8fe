"""A service with three environments and releases on their way through them, as a journal tells it."""

from datetime import timedelta
from typing import Any

from tasks.journal.events import Promoted, ReleaseStarted, RolledBack, RolloutStarted
from tasks.journal.rules import Deployed, State, fold
from tasks.model import Environment
from tasks.ports import Event
from tasks.service import ServiceSpec
from tests.support.events import NOON, SOURCE, SPEC, artifact, chained, line

NAMES = ("staging", "eu", "us")


def spec(**settings: dict[str, Any]) -> ServiceSpec:
    """Staging, then the wave of eu and us; settings by environment."""
    places = [
        {"name": name, "platform": "memory", **settings.get(name, {})}
        | ({} if name == "staging" else {"wave": "regions"})
        for name in NAMES
    ]
    return ServiceSpec.model_validate(SPEC.model_dump() | {"environments": places})


def started(number: int, of: ServiceSpec) -> Event:
    return line(f"r{number}", ReleaseStarted(SOURCE, of, artifact(number), False), environment="")


def promoted(number: int, place: str) -> list[Event]:
    """Its rollout there, which ends well; in use since that many minutes after noon."""
    here = Environment("hello", place, "memory")
    since = NOON + timedelta(minutes=number)
    deployed = Deployed(f"r{number}", artifact(number), 2, since)
    return [
        line(f"r{number}", RolloutStarted(here, artifact(number), 2, ""), environment=place),
        line(f"r{number}", Promoted(deployed, None), environment=place),
    ]


def rolled_back(number: int, place: str) -> Event:
    """To that release."""
    deployed = Deployed(f"r{number}", artifact(number), 2, NOON)
    return line(f"r{number}", RolledBack(deployed, "slow", "watch"), environment=place)


def state(*lines: Event) -> State:
    return fold(chained(list(lines)))
