"""Killing the process at random moments of a rollout to containers loses nothing (invariants 5 and 6)."""

import os
import random
from pathlib import Path

import pytest

from flows.load import LoadGenerator, LoadSummary
from tests.e2e.conftest import Bakewell, Service
from tests.e2e.docker_service import Yard, dockerfile_service
from tests.e2e.test_killed import endpoint, kill_a_release, recover

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(600)]
KILLS = int(os.environ.get("BAKEWELL_KILLS") or 3)
RATE = 60


def test_a_rollout_of_containers_killed_at_any_moment_is_taken_back_or_finished_and_no_user_notices(
    bakewell: Bakewell, there: Yard, tmp_path: Path
) -> None:
    first = int(os.environ.get("BAKEWELL_SEED") or random.SystemRandom().randrange(10**6))
    print(f"seeds {first} to {first + KILLS - 1}; BAKEWELL_SEED={first} repeats this run")
    service = dockerfile_service(tmp_path, "dropped", there)
    assert bakewell("release", service.folder).code == 0
    with LoadGenerator(endpoint(bakewell, service), RATE) as load:
        for number in range(KILLS):
            service.version(number + 2)
            kill_a_release(bakewell, service, random.Random(first + number))
            recover(bakewell, service, by_release=number % 3 == 2)
            check(bakewell, there, service, load.so_far(), first + number)
        assert bakewell("release", service.folder).code == 0
        seen = load.stop()
    check(bakewell, there, service, seen, first + KILLS)
    assert bakewell("verify-journal").code == 0
    assert str(KILLS + 1) in {one.version for one in seen.versions}, "the last never got traffic"
    assert bakewell("down", service.name).code == 0
    assert (there.containers(), there.networks()) == ([], set())


def check(bakewell: Bakewell, there: Yard, service: Service, seen: LoadSummary, seed: int) -> None:
    """Traffic is on one admitted, ready group; nothing else runs; no user was failed."""
    status = bakewell("status", service.name, "--json").json
    problems = [problem for place in status for problem in place["problems"]]
    assert problems == [], f"seed {seed}: {status}"
    assert (seen.failures, seen.errors) == (0, 0), f"seed {seed}: {seen.failed} {seen.versions}"
    wanted = {group["name"] for place in status for group in place["groups"]}
    labels = '{{.Label "bakewell.group"}}'
    groups = set(there.docker("ps", "--all", "--format", labels).split())
    assert groups <= wanted, f"seed {seed}: orphans {groups - wanted}"
