"""What only the Docker platform promises: closed containers of one digest, found by their labels, nothing left behind."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest

from tasks.adapters import docker_containers, docker_engine, docker_images
from tasks.adapters.docker import DockerFleet, memory_bytes
from tasks.adapters.docker_run import INIT_PATHS, Image, Setting, asked_as, creation, started_as
from tasks.adapters.fleet_notes import Place
from tasks.adapters.layout import LayoutStore
from tasks.errors import RefusedError
from tasks.model import (
    Action,
    DrainGroup,
    EnsureGroup,
    Group,
    Health,
    RemoveGroup,
    ReplaceInstances,
    Role,
    ShiftTraffic,
)
from tests.support.docker_engine import TestEngine
from tests.support.docker_engine import docker_engine as running_engine
from tests.support.docker_ground import (
    client_of,
    containers,
    docker_ground,
    make_artifact,
    open_store,
)
from tests.support.docker_images import busybox_image, shell
from tests.support.grounds import Behaviour, Ground

pytestmark = pytest.mark.engine
STUBBORN = shell("trap '' TERM; exec /bin/busybox httpd -f -p 8080 -h /www")


@pytest.fixture(scope="module")
def engine() -> Iterator[TestEngine]:
    with running_engine() as found:
        yield found


@pytest.fixture
def ground(engine: TestEngine, tmp_path: Path) -> Iterator[Ground]:
    with docker_ground(engine, tmp_path) as found:
        yield found


@pytest.fixture
def home(ground: Ground, tmp_path: Path) -> Path:
    (found,) = tmp_path.glob("docker-*")
    return found


@pytest.fixture
def client(engine: TestEngine) -> Iterator[docker.DockerClient]:
    with client_of(engine.host) as found:
        yield found


def group(ground: Ground, name: str = "r1", replicas: int = 1) -> Group:
    artifact = ground.make_artifact(name.removeprefix("r"), Behaviour.HEALTHY)
    return Group(name, artifact, replicas, 0, Role.STABLE)


def do(ground: Ground, *actions: Action) -> None:
    for action in actions:
        ground.fleet.apply(ground.environment, action, 1)


def test_a_container_is_closed_limited_and_says_whose_it_is(
    ground: Ground, home: Path, client: docker.DockerClient
) -> None:
    one = group(ground)
    do(ground, EnsureGroup(one))
    (found,) = containers(client, home)
    found.reload()
    host = found.attrs["HostConfig"]
    assert found.name.startswith("hello-contract-r1-")
    assert (host["Memory"], host["MemorySwap"]) == (32 * 2**20, 32 * 2**20)
    assert (host["PidsLimit"], host["NanoCpus"]) == (32, 1_000_000_000)
    assert host["RestartPolicy"]["Name"] == "no"
    assert (host["Privileged"], host["ReadonlyRootfs"]) == (False, True)
    assert found.labels["bakewell.digest"] == one.artifact.digest
    touched = found.exec_run(["/bin/busybox", "touch", "/www/x"], user="0")
    assert b"Read-only file system" in touched.output
    assert found.exec_run(["/bin/busybox", "touch", "x"], workdir="/tmp").exit_code == 0
    capabilities = found.exec_run(["/bin/busybox", "grep", "CapEff", "/proc/1/status"], user="0")
    assert capabilities.output.split()[1].strip(b"0") == b""
    told = found.exec_run(["/bin/busybox", "env"]).output.decode().split()
    assert {"PORT=8080", "HOST=0.0.0.0", "COLOUR=blue"} <= set(told)
    assert {one["Path"] for one in found.diff() or ()} <= INIT_PATHS


def test_an_untouched_container_is_what_it_was_started_as(
    ground: Ground, home: Path, client: docker.DockerClient
) -> None:
    do(ground, EnsureGroup(group(ground)))
    (found,) = containers(client, home)
    attrs = client.api.inspect_container(found.id)
    assert started_as(attrs) == asked_as(found.labels)
    found.update(mem_limit="48m", memswap_limit="48m")
    assert started_as(client.api.inspect_container(found.id)) != asked_as(found.labels)


def test_one_stranger_with_odd_labels_keeps_no_other_from_being_seen(
    ground: Ground, home: Path, client: docker.DockerClient
) -> None:
    do(ground, EnsureGroup(group(ground)))
    (ours,) = containers(client, home)
    odd = {**ours.labels, "bakewell.grace-seconds": "soon", "bakewell.instance": "r1-odd"}
    stranger = client.containers.create(ours.attrs["Image"], labels=odd)
    status = ground.fleet.read(ground.environment)
    assert [one.name for found in status.groups for one in found.instances] == [
        ours.labels["bakewell.instance"]
    ]
    stranger.remove()


def test_who_ignores_sigterm_is_killed_after_its_grace_period_and_people_hear_of_it(
    ground: Ground, home: Path
) -> None:
    said: list[str] = []
    fleet = DockerFleet(home, open_store, said.append)
    artifact = busybox_image(LayoutStore(home / "artifacts"), "1", STUBBORN, grace_seconds=1)
    stubborn = Group("r1", artifact, 1, 0, Role.STABLE)
    fleet.apply(ground.environment, EnsureGroup(stubborn), 1)
    fleet.apply(ground.environment, EnsureGroup(group(ground, "r2")), 1)
    fleet.apply(ground.environment, DrainGroup("r1"), 1)
    (told,) = said
    assert "did not end within its 1 s of grace and was killed" in told
    assert "r1-" in told


def test_people_hear_how_one_died_that_is_replaced(
    ground: Ground, home: Path, client: docker.DockerClient
) -> None:
    said: list[str] = []
    fleet, one = DockerFleet(home, open_store, said.append), group(ground)
    fleet.apply(ground.environment, EnsureGroup(one), 1)
    (dead,) = fleet.read(ground.environment).groups[0].instances
    ground.kill(dead.address)
    fleet.apply(ground.environment, EnsureGroup(one), 1)
    fleet.apply(ground.environment, ReplaceInstances(one, (dead.name,)), 1)
    (told,) = said
    assert told.startswith(f"{dead.name} ended by itself with exit code 137")


def test_who_knows_no_sigterm_ends_at_once_all_the_same(ground: Ground) -> None:
    """As process 1 without a handler it would not even hear it."""
    do(ground, EnsureGroup(group(ground)), EnsureGroup(group(ground, "r2")))
    began = time.monotonic()
    do(ground, DrainGroup("r1"))
    assert time.monotonic() - began < 2, "its grace period"


def test_down_leaves_no_container_network_image_or_volume_and_keeps_the_logs(
    ground: Ground, home: Path, client: docker.DockerClient
) -> None:
    before = {image.id for image in client.images.list(all=True)}
    store = LayoutStore(home / "artifacts")
    artifact = busybox_image(
        store, "fresh", shell("echo 'I serve'; exec /bin/busybox httpd -f -p 8080 -h /www")
    )
    do(ground, EnsureGroup(Group("r1", artifact, 1, 0, Role.STABLE)), ShiftTraffic((("r1", 100),)))
    assert {image.id for image in client.images.list(all=True)} != before
    ground.fleet.down(ground.environment, 1)
    assert containers(client, home) == []
    assert [one.name for one in client.networks.list() if "bakewell" in one.name] == []
    assert client.volumes.list() == []
    assert {image.id for image in client.images.list(all=True)} == before
    (log,) = (home / "environments" / ground.environment.key / "logs").glob("r1-*.log")
    assert log.read_text() == "I serve\n"


def test_images_of_old_groups_go_and_those_that_a_roll_back_may_need_stay(
    ground: Ground, home: Path, client: docker.DockerClient
) -> None:
    store, digests = LayoutStore(home / "artifacts"), []
    do(ground, EnsureGroup(group(ground, "r1")))
    for number in range(4):
        artifact = busybox_image(store, f"old {number}")
        digests.append(artifact.short)
        old = Group("r9", artifact, 1, 0, Role.CANARY)
        do(ground, EnsureGroup(old), DrainGroup("r9"), RemoveGroup("r9"))
    tags = {tag for image in client.images.list() for tag in image.tags}
    ours = [digest for digest in digests if f"bakewell/hello:{digest}" in tags]
    assert ours == digests[1:], "the newest three"


def test_an_image_that_another_environment_of_this_home_runs_stays(
    ground: Ground, home: Path, client: docker.DockerClient
) -> None:
    other = replace(ground.environment, name="other")
    artifact = busybox_image(LayoutStore(home / "artifacts"), "shared")
    shared = Group("r1", artifact, 1, 0, Role.STABLE)
    for here in (ground.environment, other):
        ground.fleet.apply(here, EnsureGroup(shared), 1)
    ground.fleet.down(ground.environment, 1)
    assert client.images.get(f"bakewell/hello:{artifact.short}")
    ground.fleet.down(other, 1)
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(f"bakewell/hello:{artifact.short}")


def test_users_of_a_group_never_reach_another_that_got_the_address_of_its_dead(
    ground: Ground, home: Path, client: docker.DockerClient
) -> None:
    one, two = group(ground, "r1", 2), group(ground, "r2")
    do(ground, EnsureGroup(one), ShiftTraffic((("r1", 100),)))
    status = ground.fleet.read(ground.environment)
    ground.kill(status.groups[0].instances[0].address)
    do(ground, EnsureGroup(two))
    there = ground.fleet.read(ground.environment)
    (fresh,) = there.groups[1].instances
    assert fresh.address == status.groups[0].instances[0].address, "else this tries nothing"
    with httpx.Client(trust_env=False) as user:
        assert {user.get(there.endpoint).text for _ in range(20)} == {"1"}


def test_a_paused_instance_is_not_ready_and_can_be_replaced(
    ground: Ground, home: Path, client: docker.DockerClient
) -> None:
    one = group(ground, "r1", 2)
    do(ground, EnsureGroup(one))
    (paused, _) = containers(client, home)
    paused.pause()
    name = paused.labels["bakewell.instance"]
    found = {x.name: x.health for x in ground.fleet.read(ground.environment).groups[0].instances}
    assert found[name] is not Health.READY
    do(ground, ReplaceInstances(one, (name,)))
    assert name not in {x.labels["bakewell.instance"] for x in containers(client, home)}


def test_memory_is_told_for_each_instance(ground: Ground, home: Path) -> None:
    do(ground, EnsureGroup(group(ground, "r1", 2)))
    held = memory_bytes(home, ground.environment)
    names = {one.name for one in ground.fleet.read(ground.environment).groups[0].instances}
    assert held.keys() == names
    assert all(0 < one < 32 * 2**20 for one in held.values())


def test_a_container_of_somebody_else_in_our_network_is_left_alone_and_named(
    ground: Ground, client: docker.DockerClient
) -> None:
    one = group(ground)
    do(ground, EnsureGroup(one))
    (network,) = (found for found in client.networks.list() if "hello-contract" in found.name)
    image = f"kept:{one.artifact.short}"
    theirs = client.containers.run(
        image, network=network.name, name="theirs", detach=True, init=True
    )
    try:
        with pytest.raises(RefusedError, match=r"not ours: theirs.*docker network disconnect"):
            ground.fleet.down(ground.environment, 1)
        theirs.reload()
        assert theirs.status == "running"
    finally:
        theirs.remove(force=True)
    ground.fleet.down(ground.environment, 1)


# ---- killed half-way -----------------------------------------------------------------------------


def setting_of(ground: Ground, home: Path, one: Group) -> tuple[Setting, Image]:
    from tasks.adapters import docker_networks

    here = docker_engine.engine()
    network = docker_networks.ensure(here, Place(home, ground.environment))
    store = open_store(one.artifact.repository)
    image = docker_images.bring(here, one.artifact, store, home, print).image
    return Setting(home, ground.environment, network), image


def test_a_container_that_was_made_and_never_started_is_removed_by_the_next_one(
    ground: Ground, home: Path, client: docker.DockerClient
) -> None:
    one = group(ground)
    setting, image = setting_of(ground, home, one)
    body: dict[str, Any] = creation(setting, one, "r1-half", image)
    client.api.create_container_from_config(body, "hello-contract-r1-half")
    (seen,) = ground.fleet.read(ground.environment).groups[0].instances
    assert seen.health is Health.DEAD
    do(ground, EnsureGroup(one))
    (left,) = containers(client, home)
    assert left.labels["bakewell.instance"] != "r1-half"


def test_a_container_that_was_started_and_told_to_nobody_is_used(
    ground: Ground, home: Path, client: docker.DockerClient
) -> None:
    one = group(ground)
    setting, image = setting_of(ground, home, one)
    (untold,) = docker_containers.start(docker_engine.engine(), setting, one, image, 1)
    do(ground, EnsureGroup(one), ShiftTraffic((("r1", 100),)))
    (left,) = containers(client, home)
    assert left.labels["bakewell.instance"] == untold
    assert make_artifact(home, "1").digest == one.artifact.digest
