"""What goes wrong on a real machine, and must neither be hidden nor hurt users."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.adapters import image_tree, process_instances, process_table
from tasks.adapters.envoy import proxy_of
from tasks.adapters.fencing import fenced
from tasks.adapters.fleet_notes import LOGS_KEPT, Place
from tasks.adapters.process_instances import Started
from tasks.errors import LateWriterError, RefusedError, TransientError
from tasks.model import (
    EnsureGroup,
    FleetSpec,
    Group,
    Health,
    ReplaceInstances,
    Role,
    ShiftTraffic,
)
from tasks.rollout.converge import converge
from tests.support.asking import ask
from tests.support.engines import wait_for
from tests.support.grounds import Ground
from tests.support.process_ground import make_artifact, open_store, process_ground

pytestmark = pytest.mark.engine


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with process_ground(tmp_path) as found:
        yield found


@pytest.fixture
def place(ground: Ground, tmp_path: Path) -> Place:
    (home,) = tmp_path.glob("process-*")
    return Place(home, ground.environment)


def serving(ground: Ground, place: Place, replicas: int = 1) -> Group:
    group = Group("r1", make_artifact(place.home, "1"), replicas, 100, Role.STABLE)
    ground.fleet.apply(ground.environment, EnsureGroup(group), 1)
    ground.fleet.apply(ground.environment, ShiftTraffic((("r1", 100),)), 1)
    return group


def start_untold(place: Place, group: Group) -> str:
    """One more instance as a killed EnsureGroup leaves it: it runs, and nobody told the splitter."""
    store = open_store(group.artifact.repository)
    tree = image_tree.unpacked(group.artifact, store, place.home / "trees")
    config = image_tree.configuration(group.artifact, store)
    name = process_instances.start(place, group, tree, config)
    (port,) = (one.marks["PORT"] for one in process_table.find({"BAKEWELL_INSTANCE": name}))
    wait_for(f"http://127.0.0.1:{port}/", 5.0, every=0.02)
    return name


def asked(url: str, times: int) -> list["subprocess.Popen[str]"]:
    code = f"import urllib.request as u; print(u.urlopen({url!r}).status)"
    return [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(times)
    ]


def test_what_runs_without_its_share_of_the_traffic_is_not_ready_until_it_has_it(
    ground: Ground, place: Place
) -> None:
    group = serving(ground, place)
    untold = start_untold(place, group)
    (status,) = ground.fleet.read(ground.environment).groups
    assert [one.health for one in status.instances if one.name == untold] == [Health.STARTING]
    assert status.ready == 1
    wanted = FleetSpec((replace(group, replicas=2),))
    admitted = frozenset({group.artifact.digest})
    there = converge(ground.fleet, ground.environment, wanted, 1, admitted)
    assert there.groups[0].ready == 2
    assert untold in {one.name for one in there.groups[0].instances}, "it is used, not replaced"
    assert answering(there.endpoint) == {one.name for one in there.groups[0].instances}


def answering(endpoint: str) -> set[str]:
    """The instances that users reach."""
    return {ask(f"{endpoint}/env").json()["BAKEWELL_INSTANCE"] for _ in range(40)}


def test_a_slow_request_is_finished_although_its_instance_is_replaced(
    ground: Ground, place: Place
) -> None:
    """This service ends at once on SIGTERM, and its group keeps the traffic: half of these were on their way to it."""
    group = serving(ground, place, 2)
    before = ground.fleet.read(ground.environment)
    users = asked(f"{before.endpoint}/slow", 6)
    time.sleep(0.6)
    leaving = before.groups[0].instances[0].name
    ground.fleet.apply(ground.environment, ReplaceInstances(group, (leaving,)), 1)
    assert [user.communicate(timeout=20)[0].strip() for user in users] == ["200"] * 6
    (left,) = ground.fleet.read(ground.environment).groups[0].instances
    assert left.name != leaving


def test_an_instance_is_out_of_the_splitter_before_it_is_asked_to_end(
    ground: Ground, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users would not show it: Envoy asks another instance when one does not answer."""
    group = serving(ground, place, 2)
    first, second = process_instances.instances(place)
    stop, routed_then = process_instances.stop, []

    def watched(place: Place, one: Started) -> None:
        routing = proxy_of(place.home, place.environment).routed()
        routed_then.append([end.instance for end in routing.endpoints] if routing else None)
        stop(place, one)

    monkeypatch.setattr(process_instances, "stop", watched)
    ground.fleet.apply(ground.environment, ReplaceInstances(group, (first.name,)), 1)
    assert routed_then == [[second.name]]


def test_an_instance_that_does_not_end_is_told_and_not_taken_for_stopped(
    ground: Ground, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that the kernel holds in a broken disk: no signal ends it."""
    group = serving(ground, place, 2)
    (held, _) = process_instances.instances(place)
    with monkeypatch.context() as powerless:
        powerless.setattr(process_table, "stop", lambda running, grace_seconds: None)
        with pytest.raises(TransientError, match=rf"{held.name} \(pid {held.running.pid}\)"):
            ground.fleet.apply(ground.environment, ReplaceInstances(group, (held.name,)), 1)
    ground.fleet.apply(ground.environment, ReplaceInstances(group, (held.name,)), 1)
    assert not process_table.is_running(held.running)


def test_what_an_instance_starts_in_a_session_of_its_own_is_no_second_one_and_ends_with_it(
    ground: Ground, place: Place
) -> None:
    group = serving(ground, place, 2)
    first, second = process_instances.instances(place)
    child = process_table.launch(
        ["sleep", "60"], dict(first.running.marks), place.folder, place.folder / "child.log"
    )
    (status,) = ground.fleet.read(ground.environment).groups
    assert [one.name for one in status.instances] == [first.name, second.name]
    ground.fleet.apply(ground.environment, ReplaceInstances(group, (first.name,)), 1)
    left = {one.pid for one in process_table.find({"BAKEWELL_INSTANCE": first.name})}
    assert child not in left
    assert left == set()


@pytest.mark.slow
def test_a_group_that_does_not_answer_for_a_moment_keeps_its_traffic(
    ground: Ground, place: Place
) -> None:
    serving(ground, place)
    other = Group("r2", make_artifact(place.home, "2"), 1, 0, Role.CANARY)
    (stopped,) = process_instances.instances(place)
    os.kill(stopped.running.pid, signal.SIGSTOP)
    try:
        ground.fleet.apply(ground.environment, EnsureGroup(other), 1)
    finally:
        os.kill(stopped.running.pid, signal.SIGCONT)
    there = ground.fleet.read(ground.environment)
    assert there.group("r1") is not None
    assert answering(there.endpoint) == {stopped.name}


def test_the_log_of_a_silent_instance_is_kept_however_many_ended_since(
    ground: Ground, place: Place
) -> None:
    group = serving(ground, place)
    (silent,) = process_instances.instances(place)
    os.utime(place.log(silent.name), (0, 0))
    for number in range(LOGS_KEPT + 10):
        place.log(f"ended-{number}").write_text("")
    ground.fleet.apply(ground.environment, EnsureGroup(replace(group, replicas=2)), 1)
    assert place.log(silent.name).exists()
    assert len(list(place.log("").parent.glob("ended-*"))) == LOGS_KEPT


@pytest.mark.parametrize("grace", ["soon", "-1", "inf", "nan"])
def test_an_image_with_a_senseless_grace_period_is_refused_before_anything_starts(
    place: Place, grace: str
) -> None:
    group = Group("r1", make_artifact(place.home, "1"), 1, 0, Role.STABLE)
    config = {"config": {"Cmd": ["true"], "Labels": {"bakewell.grace-seconds": grace}}}
    with pytest.raises(RefusedError, match="number of seconds"):
        process_instances.start(place, group, place.home, config)
    assert process_instances.instances(place) == []


def test_a_command_that_is_not_there_is_told_with_the_reason(tmp_path: Path) -> None:
    for _ in range(10):
        with pytest.raises(RefusedError, match=r"cannot be run: No such file.*: no-such-command$"):
            process_table.launch(
                ["no-such-command"], {"PATH": "/bin"}, tmp_path, tmp_path / "its.log"
            )


def test_processes_of_other_users_are_not_ours_whatever_their_marks_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = {"BAKEWELL_HOME": str(tmp_path), "PATH": os.defpath}
    process_table.launch(["sleep", "60"], marks, tmp_path, tmp_path / "its.log")
    (ours,) = process_table.find({"BAKEWELL_HOME": str(tmp_path)})
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    assert process_table.find({"BAKEWELL_HOME": str(tmp_path)}) == []
    process_table.stop(ours, 0)
    assert not process_table.is_running(ours)


# ---- who may write -------------------------------------------------------------------------------


def test_a_fence_that_cannot_be_read_lets_nobody_through(tmp_path: Path) -> None:
    (tmp_path / "fence").write_text("\x00\x00")
    with (
        pytest.raises(RefusedError, match="remove the file"),
        fenced(tmp_path, "hello-production", 9, 1.0),
    ):
        pytest.fail("it was let through")


def test_the_newest_token_is_kept_when_the_change_itself_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError), fenced(tmp_path, "hello-production", 9, 1.0):
        raise KeyError("the change")
    with pytest.raises(LateWriterError), fenced(tmp_path, "hello-production", 8, 1.0):
        pytest.fail("it was let through")


def test_a_writer_that_hangs_is_named_and_not_waited_for_forever(tmp_path: Path) -> None:
    with (
        fenced(tmp_path, "hello-production", 9, 1.0),
        pytest.raises(TransientError, match=f"pid {os.getpid()}"),
        fenced(tmp_path, "hello-production", 10, 0.2),
    ):
        pytest.fail("it was let through")
    with fenced(tmp_path, "hello-production", 9, 0.2):
        pass  # the one that waited in vain has left no trace


def test_a_killed_writer_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tasks.adapters.fencing import fenced\n"
        "with fenced(Path(sys.argv[1]), 'hello', 9, 1.0): print('in', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "in\n"
        with (tmp_path / "fence.lock").open("ab") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        writer.kill()
    with fenced(tmp_path, "hello", 9, 0.5):
        assert (tmp_path / "fence").read_text() == "9"


def test_a_disk_error_while_changing_is_told_with_its_folder(tmp_path: Path) -> None:
    with (
        pytest.raises(RefusedError, match=str(tmp_path)),
        fenced(tmp_path, "hello-production", 9, 1.0),
    ):
        shutil.copyfile(tmp_path / "no such file", tmp_path / "copy")
