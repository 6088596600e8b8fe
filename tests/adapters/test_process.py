"""What only the process platform promises: clean processes, nothing left behind, users not noticing, crashes survived."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from flows.load import LoadGenerator
from tasks.adapters import process_table
from tasks.adapters.layout import LayoutStore
from tasks.adapters.process import ProcessFleet
from tasks.errors import NotReadyError, RefusedError
from tasks.model import (
    Artifact,
    DrainGroup,
    EnsureGroup,
    Environment,
    Group,
    Health,
    RemoveGroup,
    ReplaceInstances,
    Role,
    ShiftTraffic,
)
from tests.support.asking import ask
from tests.support.grounds import Ground
from tests.support.process_ground import kill, make_artifact, open_store, process_ground

pytestmark = pytest.mark.engine


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with process_ground(tmp_path) as found:
        yield found


@pytest.fixture
def home(ground: Ground, tmp_path: Path) -> Path:
    (found,) = tmp_path.glob("process-*")
    return found


def group(home: Path, name: str, version: str, replicas: int = 1) -> Group:
    return Group(name, make_artifact(home, version), replicas, 0, Role.STABLE)


def everything(home: Path) -> list[process_table.Running]:
    return process_table.find({"BAKEWELL_HOME": str(home)})


def test_an_instance_gets_a_clean_environment_and_its_image(
    ground: Ground, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    ground.fleet.apply(ground.environment, EnsureGroup(group(home, "r1", "1")), 1)
    (one,) = ground.fleet.read(ground.environment).groups[0].instances
    found = ask(f"http://{one.address}/env").json()
    tree = home / "trees" / ground.fleet.read(ground.environment).groups[0].artifact.digest[7:]
    assert "AWS_SECRET_ACCESS_KEY" not in found
    assert found["COLOUR"] == "blue"
    assert found["WHERE"] == f"{tree}/app:/nowhere", "paths of the image are paths in its tree"
    assert found["ASKED"] == "http://tmp:80/app", "a URL is no path"
    assert found["ABOVE"] == f"{tree}/app", "nothing is above the image's root"
    assert found["SPT_NOENV"] == "1", "else setproctitle hides the process from us"
    assert found["cwd"] == str(tree)
    assert Path(found["HOME"]).is_dir()
    unexpected = {name for name in found if not name.startswith("BAKEWELL_")} - {
        *("COLOUR", "WHERE", "PATH", "HOME", "TMPDIR", "PORT", "LANG", "LC_CTYPE", "cwd"),
        *("PYTHONDONTWRITEBYTECODE", "SPT_NOENV", "ASKED", "ABOVE"),
    }
    assert unexpected == set()


def test_instances_lead_sessions_of_their_own_and_are_nobodys_children(
    ground: Ground, home: Path
) -> None:
    ground.fleet.apply(ground.environment, EnsureGroup(group(home, "r1", "1", 2)), 1)
    for one in everything(home):
        assert os.getsid(one.pid) == one.pid
        assert psutil.Process(one.pid).ppid() != os.getpid()


def test_the_tree_cannot_be_changed_and_is_unpacked_once(ground: Ground, home: Path) -> None:
    ground.fleet.apply(ground.environment, EnsureGroup(group(home, "r1", "1", 2)), 1)
    files = [path for path in (home / "trees").rglob("*") if path.name == "main.py"]
    assert len(files) == 1
    assert files[0].stat().st_mode & 0o222 == 0
    assert files[0].parent.stat().st_mode & 0o222 == 0


def zombies() -> set[int]:
    """Dead children of this process that nobody has collected; other tests may have left some."""
    dead = (one for one in psutil.process_iter() if one.status() == psutil.STATUS_ZOMBIE)
    return {one.pid for one in dead if one.ppid() == os.getpid()}


def test_down_leaves_no_process_and_keeps_the_logs(ground: Ground, home: Path) -> None:
    one = group(home, "r1", "1", 2)
    before = zombies()
    ground.fleet.apply(ground.environment, EnsureGroup(one), 1)
    ground.fleet.apply(ground.environment, ShiftTraffic((("r1", 100),)), 1)
    assert len(everything(home)) == 3, "two instances and Envoy"
    ground.fleet.down(ground.environment, 1)
    assert everything(home) == []
    assert zombies() <= before
    logs = list((home / "environments" / ground.environment.key / "logs").glob("r1-*.log"))
    assert all("serving 1" in log.read_text() for log in logs)
    assert len(logs) == 2


@pytest.mark.slow
def test_users_notice_nothing_while_versions_come_and_go(ground: Ground, home: Path) -> None:
    fleet, here = ground.fleet, ground.environment
    fleet.apply(here, EnsureGroup(group(home, "r1", "1", 2)), 1)
    fleet.apply(here, ShiftTraffic((("r1", 100),)), 1)
    with LoadGenerator(fleet.read(here).endpoint, 150) as load:
        for number in (2, 3, 4):
            old, new = f"r{number - 1}", group(home, f"r{number}", str(number), 2)
            fleet.apply(here, EnsureGroup(new), 1)
            fleet.apply(here, ShiftTraffic(((old, 70), (new.name, 30))), 1)
            fleet.apply(here, EnsureGroup(replace(new, replicas=3)), 1)
            victim = fleet.read(here).group(new.name)
            assert victim is not None
            fleet.apply(here, ReplaceInstances(new, (victim.instances[0].name,)), 1)
            fleet.apply(here, ShiftTraffic(((new.name, 100),)), 1)
            fleet.apply(here, DrainGroup(old), 1)
            fleet.apply(here, RemoveGroup(old), 1)
        seen = load.stop()
    assert (seen.failures, seen.errors) == (0, 0), seen.failed
    assert [one.version for one in seen.versions] == ["1", "2", "3", "4"]


def test_a_slow_request_is_finished_before_its_instance_is_stopped(
    ground: Ground, home: Path
) -> None:
    """This service ends at once on SIGTERM: the platform has to wait for it."""
    fleet, here = ground.fleet, ground.environment
    for one in (group(home, "r1", "1"), group(home, "r2", "2")):
        fleet.apply(here, EnsureGroup(one), 1)
    fleet.apply(here, ShiftTraffic((("r1", 100), ("r2", 0))), 1)
    url = f"{fleet.read(here).endpoint}/slow"
    user = subprocess.Popen(
        [sys.executable, "-c", f"import urllib.request as u; print(u.urlopen({url!r}).read())"],
        stdout=subprocess.PIPE,
        text=True,
    )
    time.sleep(0.5)
    fleet.apply(here, ShiftTraffic((("r1", 0), ("r2", 100))), 1)
    fleet.apply(here, DrainGroup("r1"), 1)
    assert user.communicate(timeout=10)[0].strip() == "b'1'"


def test_envoy_that_died_is_shown_as_no_traffic_and_comes_back_on_its_port(
    ground: Ground, home: Path
) -> None:
    fleet, here = ground.fleet, ground.environment
    fleet.apply(here, EnsureGroup(group(home, "r1", "1")), 1)
    fleet.apply(here, ShiftTraffic((("r1", 100),)), 1)
    before = fleet.read(here)
    (envoy,) = process_table.find({"BAKEWELL_HOME": str(home), "BAKEWELL_SPLITTER": "envoy"})
    os.kill(envoy.pid, signal.SIGKILL)
    while process_table.is_running(envoy):
        time.sleep(0.01)
    broken = fleet.read(here)
    assert (broken.groups[0].weight, broken.endpoint) == (0, "")
    fleet.apply(here, ShiftTraffic((("r1", 100),)), 1)
    assert fleet.read(here) == before


APPLY = """
import json, sys
from pathlib import Path
from pydantic import TypeAdapter
from tasks.adapters.process import ProcessFleet
from tasks.model import Action, Environment
from tests.support.process_ground import open_store
home, action = Path(sys.argv[1]), TypeAdapter(Action).validate_json(sys.argv[2])
here = Environment("hello", "contract", "process", ready_seconds=2)
ProcessFleet(home, open_store).apply(here, action, 1)
"""


@pytest.mark.slow
@pytest.mark.parametrize("after_seconds", [0.35, 0.45, 0.55, 0.65, 0.8])
def test_who_is_killed_while_applying_leaves_work_that_the_next_one_finishes(
    ground: Ground, home: Path, after_seconds: float
) -> None:
    from pydantic import TypeAdapter

    wanted = group(home, "r1", "1", 3)
    action = TypeAdapter(EnsureGroup).dump_json(EnsureGroup(wanted)).decode()
    killed = subprocess.Popen([sys.executable, "-c", APPLY, str(home), action])
    time.sleep(after_seconds)
    killed.kill()
    killed.wait()
    ProcessFleet(home, open_store).apply(ground.environment, EnsureGroup(wanted), 1)
    found = ground.fleet.read(ground.environment).groups[0]
    assert found.ready == 3
    assert len(found.instances) <= 4, "at most one was on its way, and it is stopped by the planner"


def test_a_command_that_ends_is_told_at_once_with_its_last_words(
    ground: Ground, home: Path
) -> None:
    one = group(home, "r1", "1")
    broken = replace(one, artifact=broken_artifact(home))
    began = time.monotonic()
    with pytest.raises(NotReadyError, match=r"ended by itself.*no colour"):
        ground.fleet.apply(ground.environment, EnsureGroup(broken), 1)
    assert time.monotonic() - began < 1.5
    assert everything(home) == []


def broken_artifact(home: Path) -> Artifact:
    folder = home / "source" / "broken"
    folder.mkdir(parents=True)
    (folder / "main.py").write_text("raise SystemExit('no colour')")
    from tasks.bake.bakery import bake
    from tests.support.baking import service

    return bake(service(), folder, LayoutStore(home / "artifacts"), home / "cache").artifact


def test_a_configured_port_is_used_and_a_chosen_one_is_kept(ground: Ground, home: Path) -> None:
    fleet, chosen = ground.fleet, Environment("hello", "chosen", "process")
    given = Environment("hello", "given", "process", listen_port=28_471)
    for here in (chosen, given):
        fleet.apply(here, EnsureGroup(group(home, "r1", "1")), 1)
        fleet.apply(here, ShiftTraffic((("r1", 100),)), 1)
    assert fleet.read(given).endpoint == "http://127.0.0.1:28471"
    before = fleet.read(chosen).endpoint
    fleet.apply(chosen, ShiftTraffic((("r1", 100),)), 1)
    assert fleet.read(chosen).endpoint == before
    other = Environment("hello", "other", "process", listen_port=28_471)
    fleet.apply(other, EnsureGroup(group(home, "r1", "1")), 1)
    with pytest.raises(RefusedError, match=r"28471.*envoy"):
        fleet.apply(other, ShiftTraffic((("r1", 100),)), 1)
    for here in (chosen, given, other):
        fleet.down(here, 1)


def test_reading_is_quick_and_an_instance_that_answers_nothing_is_not_ready(
    ground: Ground, home: Path
) -> None:
    fleet, here = ground.fleet, ground.environment
    fleet.apply(here, EnsureGroup(group(home, "r1", "1", 3)), 1)
    fleet.apply(here, ShiftTraffic((("r1", 100),)), 1)
    times = []
    for _ in range(5):
        began = time.monotonic()
        assert fleet.read(here).groups[0].ready == 3
        times.append(time.monotonic() - began)
    assert min(times) < 0.15
    (first, *_) = fleet.read(here).groups[0].instances
    (running,) = process_table.find({"BAKEWELL_INSTANCE": first.name})
    os.kill(running.pid, signal.SIGSTOP)
    time.sleep(2.1)  # older than ready_seconds: not starting any more
    found = fleet.read(here).groups[0]
    os.kill(running.pid, signal.SIGCONT)
    assert [one.health for one in found.instances if one.name == first.name] == [Health.UNREADY]
    kill(first.address)
    assert first.name not in {one.name for one in fleet.read(here).groups[0].instances}


def test_a_fresh_process_finds_what_another_has_started(ground: Ground, home: Path) -> None:
    ground.fleet.apply(ground.environment, EnsureGroup(group(home, "r1", "1")), 1)
    code = (
        "import sys; from pathlib import Path; from tasks.adapters.process import ProcessFleet;"
        "from tasks.model import Environment; from tests.support.process_ground import open_store;"
        "s = ProcessFleet(Path(sys.argv[1]), open_store).read(Environment('hello', 'contract', 'process'));"
        "print(s.groups[0].name, s.groups[0].ready)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(home)], capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["r1", "1"]
    assert json.dumps(said.stderr) == '""'
