"""Everything that an independent script does to containers past us is found, and nothing else is; what is healed is exactly
that. On a real engine, three times."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import pytest

from flows.mending import mend
from tasks.adapters import process_table
from tasks.inspection import DriftKind
from tests.support.docker_engine import docker_engine
from tests.support.docker_scene import DockerScene, docker_scene
from tests.support.engines import missing

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]
Found = set[tuple[DriftKind, str, str]]

# Kind of tampering -> to which of the instances, and what is found there: what it is, and what of it.
DONE: Final[dict[str, tuple[int, DriftKind, str]]] = {
    "exec": (0, DriftKind.TOUCHED, "EXECUTED"),
    "signal": (0, DriftKind.TOUCHED, "SIGNALLED"),
    "memory": (0, DriftKind.SETTINGS, "Memory"),
    "cpus": (0, DriftKind.SETTINGS, "NanoCpus"),
    "pids": (0, DriftKind.SETTINGS, "PidsLimit"),
    "restart-policy": (0, DriftKind.SETTINGS, "RestartPolicy"),
    "other-network": (0, DriftKind.SETTINGS, "Networks"),
    "there-and-back": (1, DriftKind.TOUCHED, "UPDATED"),
    "reconnect": (1, DriftKind.TOUCHED, "DISCONNECTED"),
    "pause": (2, DriftKind.PAUSED, ""),
    "stop": (3, DriftKind.ENDED, ""),
    "kill": (4, DriftKind.ENDED, ""),
    "restart": (5, DriftKind.RESTARTED, ""),
    "disconnect": (5, DriftKind.SETTINGS, "Networks"),
    "rename": (2, DriftKind.RENAMED, ""),
}
REMOVED, UNTOUCHED = 6, 7
REPLICAS: Final = 8
# What is found elsewhere than at the instance that was named.
BESIDE: Final[dict[str, tuple[int, Found]]] = {
    "remove": (REMOVED, {(DriftKind.MISSING, "", "")}),
    "copy": (1, {(DriftKind.FOREIGN, "", "copy")}),
    "foreign": (UNTOUCHED, {(DriftKind.FOREIGN, "", "foreign")}),
    "forged": (
        UNTOUCHED,
        {
            (DriftKind.FORGED, "r1-forged", ""),
            (DriftKind.FILES, "r1-forged", ""),
            (DriftKind.TOUCHED, "r1-forged", "EXECUTED"),
        },
    ),
    "other-image": (
        UNTOUCHED,
        {(DriftKind.IMAGE, "r1-other", ""), (DriftKind.FORGED, "r1-other", "")},
    ),
}
STRANGERS: Final = {"copy", "foreign"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerScene]:
    if shutil.which("docker") is None:
        missing("needs the docker command line; on Debian: apt-get install docker.io")
    folder = tmp_path_factory.mktemp("drift")
    with docker_engine() as engine, docker_scene(engine, folder, REPLICAS) as made:
        yield made


@pytest.fixture
def clean(scene: DockerScene) -> Iterator[DockerScene]:
    """Strangers are nobody's to take away but the test's."""
    yield scene
    for command in ("rm -f copy foreign", "network rm elsewhere", "rmi -f copied:1 other:1"):
        with suppress(AssertionError):
            scene.run("docker", *command.split())


def what(scene: DockerScene) -> Found:
    found = scene.look()
    assert found.not_looked == ()
    return {(one.kind, one.instance, one.what) for one in found.drift}


def follows(names: list[str]) -> Found:
    """The same deeds, seen from another side."""
    return {
        (DriftKind.SETTINGS, names[0], "MemorySwap"),
        (DriftKind.TOUCHED, names[1], "CONNECTED"),
        (DriftKind.TOUCHED, names[1], "PAUSED"),  # docker commit pauses what it copies
        (DriftKind.UNWELL, names[5], ""),
    }


def is_consequence(one: tuple[DriftKind, str, str]) -> bool:
    """Requests go to where one was before it moved."""
    return one[0] is DriftKind.ROUTES


def by_what_and_where(names: list[str]) -> Found:
    found = {(kind, names[at], what) for at, kind, what in DONE.values()}
    return found.union(*(beside for _, beside in BESIDE.values()))


@pytest.mark.parametrize("run", [1, 2, 3])
def test_all_tampering_is_found_where_it_was_done_and_exactly_that_is_replaced(
    clean: DockerScene, run: int
) -> None:
    scene = clean
    assert what(scene) == set(), "nobody was here"
    names, warm = scene.names(), scene.names("r0")
    victims = {kind: one[0] for kind, one in DONE.items()} | {
        k: one[0] for k, one in BESIDE.items()
    }
    for kind, victim in victims.items():
        scene.tamper(kind, names[victim])
    found, done = what(scene), by_what_and_where(names)
    assert done - found == set(), "was done, and not found"
    others = {one for one in found - done - follows(names) if not is_consequence(one)}
    assert others == set(), "was found, and not done"
    healed = scene.heal()
    assert healed.words == ""
    assert {(one.kind, one.what) for one in healed.drift} == {
        (DriftKind.FOREIGN, name) for name in STRANGERS
    }
    assert set(scene.names()) & set(names) == set(names[UNTOUCHED:]), (
        "exactly the touched ones went"
    )
    assert len(scene.names()) == REPLICAS
    assert not {"r1-forged", "r1-other"} & set(scene.names())
    assert scene.names("r0") == warm
    assert set(scene.run("docker", "ps", "--format", "{{.Names}}").split()) >= STRANGERS


def test_what_is_changed_in_the_splitters_files_by_hand_is_found_and_written_anew(
    scene: DockerScene,
) -> None:
    names = scene.names()
    for kind, expected in (
        ("weights", {DriftKind.WEIGHTS}),
        ("address", {DriftKind.ROUTES}),
        ("mirror", {DriftKind.SPLITTER_FILES}),
    ):
        scene.tamper_splitter(kind)
        found: set[DriftKind] = set()
        for _ in range(100):  # Envoy takes a moment to read it
            if expected <= (found := {one[0] for one in what(scene)}):
                break
        assert expected <= found, kind
        assert found <= expected | {DriftKind.SPLITTER_FILES, DriftKind.UNWELL}, kind
        assert scene.heal().drift == (), kind
    assert scene.names() == names


def end_splitter(scene: DockerScene) -> None:
    for one in process_table.find({**scene.place.marks, "BAKEWELL_SPLITTER": "envoy"}):
        os.kill(one.pid, signal.SIGKILL)
        while process_table.is_running(one):
            pass


def test_a_splitter_that_was_killed_is_found_and_started_again(scene: DockerScene) -> None:
    names = scene.names()
    end_splitter(scene)
    assert {one[0] for one in what(scene)} == {DriftKind.SPLITTER_GONE}
    assert scene.heal().drift == ()
    assert scene.names() == names


def test_containers_and_splitter_that_were_killed_are_there_again_without_a_person(
    scene: DockerScene,
) -> None:
    names = scene.names()
    for name in names[:2]:
        scene.tamper("kill", name)
    end_splitter(scene)
    (line,) = mend()
    assert "6 of 8 serve" in line
    assert "nothing splits the traffic" in line
    assert what(scene) == set()
    assert set(names[2:]) < set(scene.names())
    assert not set(names[:2]) & set(scene.names())
