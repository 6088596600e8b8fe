"""What goes wrong with engines, and must neither be hidden nor hurt users: each ends in a safe state, with a reason."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from tasks.adapters.docker import DockerFleet
from tasks.adapters.layout import LayoutStore
from tasks.errors import NotReadyError, RefusedError, TransientError
from tasks.model import EnsureGroup, Group, Health, ReplaceInstances, Role, ShiftTraffic
from tests.support.asking import ask
from tests.support.docker_engine import TestEngine, docker_engine
from tests.support.docker_ground import client_of, containers, docker_ground, open_store
from tests.support.docker_images import busybox_image, shell
from tests.support.engines import missing, wait_for
from tests.support.grounds import Behaviour, Ground
from tests.support.shifting_proxy import shifting_proxy

pytestmark = [
    pytest.mark.engine,
    # What the SDK opened to an engine that went away it leaves to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
DISK_MB = 48


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    """A small one, of memory."""
    if os.geteuid() != 0:
        missing("needs root: an engine on a small disk of its own")
    with tempfile.TemporaryDirectory(prefix="dkd-", dir="/tmp") as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", folder]
        subprocess.run(mount, check=True)
        yield Path(folder)
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture(scope="module")
def engine(disk: Path) -> Iterator[TestEngine]:
    with docker_engine("--data-root", str(disk)) as found:
        yield found


@pytest.fixture
def ground(engine: TestEngine, tmp_path: Path) -> Iterator[Ground]:
    with docker_ground(engine, tmp_path) as found:
        yield found


@pytest.fixture
def home(ground: Ground, tmp_path: Path) -> Path:
    (found,) = tmp_path.glob("docker-*")
    return found


def serving(ground: Ground, replicas: int = 1) -> Group:
    group = Group("r1", ground.make_artifact("1", Behaviour.HEALTHY), replicas, 100, Role.STABLE)
    ground.fleet.apply(ground.environment, EnsureGroup(group), 1)
    ground.fleet.apply(ground.environment, ShiftTraffic((("r1", 100),)), 1)
    return group


def answer(ground: Ground) -> str:
    return ask(ground.fleet.read(ground.environment).endpoint).text


# ---- the engine goes away ------------------------------------------------------------------------


def test_an_engine_that_is_restarted_is_told_meanwhile_and_what_it_ended_is_replaced(
    ground: Ground, engine: TestEngine
) -> None:
    group = serving(ground)
    engine.stop()
    try:
        with pytest.raises(TransientError, match="see that the engine runs"):
            ground.fleet.read(ground.environment)
        with pytest.raises(TransientError):
            ground.fleet.apply(ground.environment, EnsureGroup(group), 1)
    finally:
        engine.start()
    (dead,) = ground.fleet.read(ground.environment).groups[0].instances
    assert dead.health is Health.DEAD
    ground.fleet.apply(ground.environment, EnsureGroup(group), 1)
    assert ground.fleet.read(ground.environment).groups[0].ready == 1
    assert answer(ground) == "1"


def test_users_are_served_while_a_killed_engine_is_away(ground: Ground, engine: TestEngine) -> None:
    group = serving(ground)
    endpoint = ground.fleet.read(ground.environment).endpoint
    engine.stop(signal.SIGKILL)
    try:
        assert ask(endpoint).text == "1"
        with pytest.raises(TransientError):
            ground.fleet.read(ground.environment)
    finally:
        engine.start()
    ground.fleet.apply(ground.environment, EnsureGroup(group), 1)
    assert ground.fleet.read(ground.environment).groups[0].ready == 1
    assert answer(ground) == "1"


def test_an_engine_without_space_starts_nothing_and_is_told_what_to_do(
    ground: Ground, engine: TestEngine, home: Path, disk: Path
) -> None:
    serving(ground)
    artifact = busybox_image(LayoutStore(home / "artifacts"), "x" * 3_000_000)
    filler = disk / "filler"
    with filler.open("wb") as file:
        free = os.statvfs(filler).f_bavail * os.statvfs(filler).f_frsize
        file.write(bytes(free - 1_000_000))
    try:
        with pytest.raises(RefusedError, match=r"no space left.*docker system df"):
            ground.fleet.apply(
                ground.environment, EnsureGroup(Group("r2", artifact, 1, 0, Role.CANARY)), 1
            )
    finally:
        filler.unlink()
    with client_of(engine.host) as client:
        assert len(containers(client, home)) == 1
    assert answer(ground) == "1"


# ---- instances -----------------------------------------------------------------------------------


def test_who_wants_more_memory_than_it_may_have_is_told_with_the_setting(
    ground: Ground, home: Path
) -> None:
    serving(ground)
    greedy = shell("exec dd if=/dev/zero of=/dev/null bs=200M count=1")
    artifact = busybox_image(LayoutStore(home / "artifacts"), "greedy", greedy)
    with pytest.raises(NotReadyError, match=r"more than its 32 MB of memory.*memory_mb.*contract"):
        ground.fleet.apply(
            ground.environment, EnsureGroup(Group("r2", artifact, 1, 0, Role.CANARY)), 1
        )
    assert answer(ground) == "1"


def test_who_ends_at_once_is_told_with_its_exit_code_and_last_words(
    ground: Ground, home: Path, engine: TestEngine
) -> None:
    artifact = busybox_image(
        LayoutStore(home / "artifacts"), "3", shell("echo 'no colour'; exit 3")
    )
    broken = Group("r1", artifact, 2, 0, Role.STABLE)
    with pytest.raises(NotReadyError, match=r"ended by itself with exit code 3.*no colour"):
        ground.fleet.apply(ground.environment, EnsureGroup(broken), 1)
    with client_of(engine.host) as client:
        assert containers(client, home) == []
    logs = (home / "environments" / ground.environment.key / "logs").glob("*.log")
    assert [log.read_text() for log in logs] == ["no colour\n"] * 2


def test_a_command_that_is_not_in_the_image_leaves_nothing(
    ground: Ground, home: Path, engine: TestEngine
) -> None:
    artifact = busybox_image(LayoutStore(home / "artifacts"), "4", ("/no-such-command",))
    with pytest.raises((RefusedError, NotReadyError), match=r"no-such-command|exit code"):
        ground.fleet.apply(
            ground.environment, EnsureGroup(Group("r1", artifact, 1, 0, Role.STABLE)), 1
        )
    with client_of(engine.host) as client:
        assert containers(client, home) == []


# ---- another machine's engine --------------------------------------------------------------------


@pytest.mark.parametrize("years", [20, -20])
def test_an_engine_elsewhere_is_reached_by_published_ports_and_its_clock_does_not_matter(
    ground: Ground, engine: TestEngine, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    with shifting_proxy(engine.host, years) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        group = serving(ground)
        (one,) = ground.fleet.read(ground.environment).groups[0].instances
        assert one.address.startswith("127.0.0.1:")
        assert one.health is Health.READY
        assert abs((datetime.now(UTC) - one.started_at).total_seconds()) < 60
        assert answer(ground) == "1"
        ground.fleet.apply(ground.environment, EnsureGroup(replace(group, replicas=2)), 1)
        ground.fleet.apply(ground.environment, ReplaceInstances(group, (one.name,)), 1)
        (left,) = ground.fleet.read(ground.environment).groups[0].instances
        assert left.name != one.name
        assert answer(ground) == "1"
        ground.fleet.down(ground.environment, 1)


def test_an_instance_is_starting_or_late_by_the_engines_clock(
    ground: Ground, engine: TestEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that stopped answering: seen young, and seen old, whatever our clock says."""
    patient = replace(ground.environment, ready_seconds=600)
    with shifting_proxy(engine.host) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        serving(ground)
        with client_of(engine.host) as client:
            for one in client.containers.list():
                one.pause()
            (young,) = ground.fleet.read(patient).groups[0].instances
            wait_for(lambda: seen(ground) is Health.UNREADY, 10)
            for one in client.containers.list():
                one.unpause()
        assert young.health is Health.STARTING
        ground.fleet.down(ground.environment, 1)


def seen(ground: Ground) -> Health:
    return ground.fleet.read(ground.environment).groups[0].instances[0].health


# ---- killed half-way -----------------------------------------------------------------------------

APPLY = """
import sys
from pathlib import Path
from pydantic import TypeAdapter
from tasks.adapters.docker import DockerFleet
from tasks.model import Action, Environment
from tests.support.docker_ground import HERE, open_store
DockerFleet(Path(sys.argv[1]), open_store).apply(HERE, TypeAdapter(Action).validate_json(sys.argv[2]), 1)
"""


@pytest.mark.parametrize("seen_containers", [1, 3])
def test_who_is_killed_while_applying_leaves_work_that_the_next_one_finishes(
    ground: Ground, engine: TestEngine, home: Path, seen_containers: int
) -> None:
    wanted = Group("r1", ground.make_artifact("1", Behaviour.HEALTHY), 3, 100, Role.STABLE)
    action = TypeAdapter(EnsureGroup).dump_json(EnsureGroup(wanted)).decode()
    with client_of(engine.host) as client:
        killed = subprocess.Popen([sys.executable, "-c", APPLY, str(home), action])
        wait_for(lambda: len(containers(client, home)) >= seen_containers, 20, every=0.01)
        killed.kill()
        killed.wait()
        fleet = DockerFleet(home, open_store)
        fleet.apply(ground.environment, EnsureGroup(wanted), 1)
        assert fleet.read(ground.environment).groups[0].ready == 3
        assert all(one.status != "created" for one in containers(client, home))
        fleet.down(ground.environment, 1)
        assert containers(client, home) == []
        assert [one.name for one in client.networks.list() if "bakewell" in one.name] == []
