"""Whatever is killed while a team releases: users stay served, nothing is lost, and nobody has to come."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Bakewell, copy_of_example, home_of_its_own
from tests.e2e.docker_service import Yard, dockerfile_service, yard
from tests.e2e.operations.chaos import Victim, chaotic_day
from tests.e2e.test_killed import only_production

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(1800)]
KILLS = int(os.environ.get("BAKEWELL_KILLS") or 2)


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Yard]:
    with yard(tmp_path) as found:
        yield found


@pytest.fixture
def bakewell(there: Yard, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bakewell]:
    with home_of_its_own() as found:
        monkeypatch.setenv("BAKEWELL_HOME", str(found.home))
        monkeypatch.delenv("PREFECT_API_URL", raising=False)
        yield found


def test_whatever_is_killed_users_stay_served_and_nobody_has_to_come(
    bakewell: Bakewell, there: Yard, tmp_path: Path
) -> None:
    first = int(os.environ.get("BAKEWELL_SEED") or random.SystemRandom().randrange(10**6))
    print(f"BAKEWELL_SEED={first} BAKEWELL_KILLS={KILLS} repeats this day")
    up = bakewell("up", "--detach", seconds=300)
    assert up.code == 0, up.out + up.err
    on_processes = copy_of_example(tmp_path, "brook")
    on_processes.edit(only_production)
    in_containers = dockerfile_service(tmp_path, "barge", there)
    rounds = chaotic_day(bakewell, [on_processes, in_containers], [first + n for n in range(KILLS)])
    assert len(rounds) == KILLS
    assert all(one.kill.processes for one in rounds if one.kill.victim is not Victim.ENGINE)
