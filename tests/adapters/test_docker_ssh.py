"""An engine behind SSH: a real sshd on loopback, OpenSSH's client, keys and hosts known and unknown."""

import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tasks.adapters import docker_build
from tasks.adapters import docker_engine as adapter
from tasks.errors import RefusedError, TransientError
from tasks.model import EnsureGroup, Group, Role, ShiftTraffic
from tests.support.asking import ask
from tests.support.docker_engine import TestEngine, docker_engine
from tests.support.docker_ground import collect, docker_ground
from tests.support.engines import wait_for
from tests.support.grounds import Behaviour
from tests.support.sshd import ALIAS, Sshd, sshd

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def engine() -> Iterator[TestEngine]:
    with docker_engine() as own:
        yield own


@pytest.fixture
def there(engine: TestEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    with sshd(tmp_path, engine.host) as one:
        monkeypatch.setenv("DOCKER_HOST", one.address)
        yield one
        collect()


def sshs(there: Sshd) -> list[psutil.Process]:
    """The user's connections that are there now."""
    return [
        one
        for one in psutil.process_iter(["cmdline"])
        if f"{there.folder}/config" in (one.info["cmdline"] or ())
    ]


def test_containers_are_run_by_an_engine_behind_ssh_and_nothing_is_left_of_it(
    there: Sshd, engine: TestEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its host is one of the user's configuration: ports are published where that says the host is."""
    with docker_ground(engine, tmp_path) as ground, monkeypatch.context() as remote:
        one = Group("r1", ground.make_artifact("1", Behaviour.HEALTHY), 2, 100, Role.STABLE)
        remote.setenv("DOCKER_HOST", f"ssh://{ALIAS}")
        assert adapter.engine().machine == "127.0.0.1"
        ground.fleet.apply(ground.environment, EnsureGroup(one), 1)
        ground.fleet.apply(ground.environment, ShiftTraffic((("r1", 100),)), 1)
        seen = ground.fleet.read(ground.environment)
        assert all(i.address.startswith("127.0.0.1:") for i in seen.groups[0].instances)
        assert ask(seen.endpoint).text == "1"
        ground.fleet.down(ground.environment, 1)
        assert sshs(there)
        adapter.engine().client.close()
        wait_for(lambda: not sshs(there), 5, "every ssh to end")


def test_an_image_is_built_by_an_engine_behind_ssh(there: Sshd) -> None:
    context = there.folder / "context.tar.gz"
    with tarfile.open(context, "w:gz") as packed:
        for name, content in (
            ("Dockerfile", b"FROM scratch\nCOPY big /\n"),
            ("big", bytes(3_000_000)),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    order = docker_build.Order(context, "Dockerfile", "by-ssh:1", ("made", "by a test"))
    built = docker_build.build(order, lambda line: None)
    client = adapter.engine().client
    assert client.images.get(built.name).labels["made"] == "by a test"
    client.images.remove(built.name)


def test_a_connection_that_was_cut_is_made_anew(there: Sshd) -> None:
    client = adapter.engine().client
    for one in sshs(there):
        one.kill()
    wait_for(lambda: not sshs(there), 5, "every ssh to end")
    assert client.ping()


def test_more_may_ask_at_once_than_a_host_lets_in_at_once(there: Sshd) -> None:
    """sshd by its own settings drops some of those who have not logged in if they are more than 10."""
    client = adapter.engine().client
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(lambda _: client.ping(), range(16)))


def test_no_ssh_is_left_of_a_process_that_was_killed(there: Sshd) -> None:
    asking = (
        "import time; from tasks.adapters.docker_engine import engine; engine(); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", asking]) as process:
        wait_for(lambda: len(sshs(there)) == 1, 15, "a connection that stays")
        process.kill()
    wait_for(lambda: not sshs(there), 5, "every ssh to end")


def test_a_host_whose_key_nobody_knows_is_refused_and_not_remembered(there: Sshd) -> None:
    there.known.write_text("")
    with pytest.raises(RefusedError, match=r"verification failed.*what its owner says"):
        adapter.engine()
    assert there.known.read_text() == ""


def test_a_host_with_another_key_than_the_known_one_is_refused(there: Sshd) -> None:
    there.believe("other")
    with pytest.raises(RefusedError, match="somebody may be in between"):
        adapter.engine()


def test_a_user_whose_key_is_not_accepted_is_told_so_and_asked_nothing(there: Sshd) -> None:
    there.admit("other")
    with pytest.raises(RefusedError, match=r"Permission denied \(publickey.*have a key"):
        adapter.engine()


def test_an_engine_that_does_not_run_behind_ssh_may_run_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sshd(tmp_path, f"unix://{tmp_path}/none.sock") as one:
        monkeypatch.setenv("DOCKER_HOST", one.address)
        with pytest.raises(TransientError, match=r"ssh ended: .*none\.sock"):
            adapter.engine()
        collect()


def test_a_machine_without_the_docker_command_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sshd(tmp_path, "unix:///nowhere", environment="PATH=/nowhere") as one:
        monkeypatch.setenv("DOCKER_HOST", one.address)
        with pytest.raises(RefusedError, match="install the docker command there"):
            adapter.engine()
        collect()


def test_a_machine_that_does_not_answer_may_answer_later(
    there: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://127.0.0.1:1")
    with pytest.raises(TransientError, match=r"Connection refused.*try again"):
        adapter.engine()


@pytest.mark.parametrize(
    "address",
    [
        "ssh://me:secret@engine.example",
        "ssh://engine.example/var/run/docker.sock",
        "ssh://",
        "ssh://a:b",
    ],
)
def test_an_address_that_says_more_or_less_than_ssh_can_use_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(RefusedError, match=r"ssh://\[USER@\]HOST\[:PORT\]") as refused:
        adapter.engine()
    assert "secret" not in str(refused.value)


def test_without_ssh_on_path_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("DOCKER_HOST", "ssh://engine.example")
    with pytest.raises(RefusedError, match="openssh-client"):
        adapter.engine()
