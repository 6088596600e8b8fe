"""Lines of a journal for tests: realistic bodies, chained as the store chains them."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tasks.chain import FIRST, hash_of
from tasks.journal.events import KINDS, Body, Deployed, ReleaseStarted, written
from tasks.model import (
    Artifact,
    Environment,
    FleetSpec,
    Gate,
    Group,
    InstanceTraffic,
    LatencyHistogram,
    Role,
    Sample,
    Source,
    Step,
)
from tasks.ports import Event
from tasks.service import ServiceSpec

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROD = Environment("hello", "prod", "process", 8080)
SPEC = ServiceSpec.model_validate(
    {
        "service": "hello",
        "bake": {"files": {"app.py": "/app/app.py"}, "command": ["python3", "/app/app.py"]},
        "environments": [{"name": "prod", "platform": "process"}],
    }
)
SOURCE = Source("https://git.example/hello", "a" * 40, False)


def artifact(number: int) -> Artifact:
    return Artifact("hello", f"sha256:{number:064x}", "layout:/artifacts/hello")


def deployed(number: int, replicas: int = 2) -> Deployed:
    """Release `r<number>` with the artifact of that number, promoted that many minutes after noon."""
    return Deployed(f"r{number}", artifact(number), replicas, NOON + timedelta(minutes=number))


def release_started(number: int, reused: bool = False) -> ReleaseStarted:
    return ReleaseStarted(SOURCE, SPEC, artifact(number), reused)


def step(stable: int, canary: int, weight: int = 10) -> Step:
    groups = (
        Group(f"r{stable}", artifact(stable), 2, 100 - weight, Role.STABLE),
        Group(f"r{canary}", artifact(canary), 1, weight, Role.CANARY),
    )
    return Step(f"{weight} %", FleetSpec(groups), Gate.OBSERVE)


def sample(instances: int = 4) -> Sample:
    histogram = LatencyHistogram(
        (1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0), (9, 80, 7, 3, 1, 0, 0, 0)
    )
    traffic = tuple(
        InstanceTraffic("r1", f"r1-{number}", 100, 1, histogram) for number in range(instances)
    )
    return Sample(NOON, 10.0, traffic)


def line(release: str, body: Body, *, environment: str = "prod", token: int = 1) -> Event:
    """Not chained yet."""
    kind = KINDS[type(body)]
    return Event(1, NOON, kind, "hello", environment, release, written(body), token, "", "")


def chained(lines: Iterable[Event]) -> list[Event]:
    """Numbered from 1, a second apart, each with the hash of the one before."""
    done: list[Event] = []
    for number, one in enumerate(lines, start=1):
        previous = done[-1].hash if done else FIRST
        placed = replace(
            one, sequence=number, at=NOON + timedelta(seconds=number), previous=previous
        )
        done.append(replace(placed, hash=hash_of(placed)))
    return done
