"""Killing the process at random moments of a rollout loses nothing (invariants 5 and 6)."""

import os
import random
import signal
import time
from typing import Any

import pytest

from flows.load import LoadGenerator, LoadSummary
from tests.e2e.conftest import Bakewell, MakeService, Service

KILLS = int(os.environ.get("BAKEWELL_KILLS") or 6)
LONGEST_SECONDS = 8.0


@pytest.fixture
def seeds() -> list[int]:
    """New ones each time, printed on failure; BAKEWELL_SEED repeats a run."""
    first = int(os.environ.get("BAKEWELL_SEED") or random.SystemRandom().randrange(10**6))
    return [first + n for n in range(KILLS)]


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.timeout(900)
def test_a_rollout_killed_at_any_moment_is_taken_back_or_finished_and_no_user_notices(
    bakewell: Bakewell, make_service: MakeService, seeds: list[int]
) -> None:
    print(f"seeds {seeds[0]} to {seeds[-1]}; BAKEWELL_SEED={seeds[0]} repeats this run")
    service = make_service("killed")
    service.edit(only_production)
    assert bakewell("release", service.folder).code == 0
    with LoadGenerator(endpoint(bakewell, service), 60) as load:
        for number, seed in enumerate(seeds, start=2):
            service.version(number)
            kill_a_release(bakewell, service, random.Random(seed))
            recover(bakewell, service, by_release=number % 4 == 0)
            check(bakewell, service, load.so_far(), seed)
        assert bakewell("release", service.folder).code == 0
        seen = load.stop()
    check(bakewell, service, seen, seeds[-1])
    assert bakewell("verify-journal").code == 0
    assert str(KILLS + 1) in {one.version for one in seen.versions}, (
        "the last version never got traffic"
    )


def only_production(spec: Any) -> None:
    spec["environments"] = [
        place for place in spec["environments"] if place["name"] == "production"
    ]
    spec["environments"][0]["strategy"] = {
        "kind": "canary",
        "weights": [30],
        "replicas": 1,
        "baseline": 1,
    }


def kill_a_release(bakewell: Bakewell, service: Service, dice: random.Random) -> None:
    """SIGKILL the whole process group: no handler, hook or `finally` runs."""
    process = bakewell.start("release", service.folder)
    time.sleep(dice.uniform(0.5, LONGEST_SECONDS))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def recover(bakewell: Bakewell, service: Service, by_release: bool) -> None:
    answer = bakewell("release", service.folder) if by_release else bakewell("status", "--heal")
    assert answer.code == 0, answer.out + answer.err


def check(bakewell: Bakewell, service: Service, seen: LoadSummary, seed: int) -> None:
    """Traffic is on one admitted, ready group; nothing else runs; no user was failed."""
    status = bakewell("status", service.name, "--json").json
    assert [problem for place in status for problem in place["problems"]] == [], (
        f"seed {seed}: {status}"
    )
    assert (seen.failures, seen.errors) == (0, 0), f"seed {seed}: {seen.failed} {seen.versions}"
    wanted = {group["name"] for place in status for group in place["groups"]}
    marks = [one.environ() for one in bakewell.processes() if one.is_running()]
    groups = {
        mark["BAKEWELL_GROUP"]
        for mark in marks
        if mark.get("BAKEWELL_ENVIRONMENT", "").startswith(service.name)
        and mark.get("BAKEWELL_GROUP")
    }
    assert groups <= wanted, f"seed {seed}: orphans {groups - wanted}"


def endpoint(bakewell: Bakewell, service: Service) -> str:
    found: str = bakewell("status", service.name, "--json").json[-1]["endpoint"]
    return found
