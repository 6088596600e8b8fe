"""What a user gets wrong, and what breaks under them: a sentence, an exit code, and nothing changed."""

import os
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import Answer, Bakewell, MakeService, Service
from tests.support.asking import ask
from tests.support.engines import free_port, missing

BAD_INPUT, STOPPED, REFUSED, NO_ANSWER = 2, 3, 4, 5

pytestmark = [pytest.mark.slow, pytest.mark.engine]


def said(answer: Answer) -> str:
    """What a person reads, in one line; never a traceback."""
    assert "Traceback" not in answer.out + answer.err, answer.err
    return " ".join((answer.out + answer.err).split())


@pytest.fixture
def service(make_service: MakeService, request: pytest.FixtureRequest) -> Service:
    return make_service("t" + str(abs(hash(request.node.name)) % 10**8))


def test_wrong_yaml_is_refused_with_its_line(bakewell: Bakewell, service: Service) -> None:
    path = service.folder / "service.yaml"
    path.write_text(path.read_text() + "\nsmoke: [\n")
    answer = bakewell("release", service.folder)
    assert answer.code == BAD_INPUT
    assert "service.yaml:" in said(answer)


def test_an_unknown_platform_is_refused_with_those_that_are_known(
    bakewell: Bakewell, service: Service
) -> None:
    service.edit(lambda spec: spec["environments"][0].update(platform="mainframe"))
    answer = bakewell("release", service.folder)
    assert answer.code == BAD_INPUT
    assert "mainframe" in said(answer)
    assert "process" in said(answer)


def test_a_missing_file_is_refused_before_anything_happens(
    bakewell: Bakewell, service: Service
) -> None:
    service.edit(lambda spec: spec["bake"]["files"].update({"nowhere.txt": "/nowhere.txt"}))
    answer = bakewell("release", service.folder)
    assert answer.code == BAD_INPUT
    assert "nowhere.txt" in said(answer)
    assert bakewell("history", service.name, "--json").json == []


def test_a_folder_without_a_service_and_an_unknown_environment_are_refused(
    bakewell: Bakewell, service: Service, tmp_path: Path
) -> None:
    assert bakewell("release", tmp_path / "empty").code == BAD_INPUT
    answer = bakewell("release", service.folder, "--to", "moon")
    assert answer.code == BAD_INPUT
    assert "moon" in said(answer)
    assert "production" in said(answer)


def test_a_registry_that_is_down_is_no_answer_not_a_verdict(
    bakewell: Bakewell, service: Service
) -> None:
    service.edit(lambda spec: spec.update(repository=f"127.0.0.1:{free_port()}/{service.name}"))
    answer = bakewell("release", service.folder)
    assert answer.code == NO_ANSWER
    assert "127.0.0.1" in said(answer)


def test_a_port_that_somebody_else_has_stops_the_rollout_and_names_it(
    bakewell: Bakewell, service: Service
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        service.edit(lambda spec: spec["environments"][0].update(listen_port=port))
        answer = bakewell("release", service.folder)
        assert answer.code in (REFUSED, STOPPED)
        assert str(port) in said(answer)
    assert bakewell("release", service.folder).code == 0
    bakewell("down", service.name)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A home on a disk of a few megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], check=False
        ).returncode
    ):
        missing("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_said_in_a_sentence(
    bakewell: Bakewell, service: Service, small_disk: Path
) -> None:
    (service.folder / "big").write_bytes(os.urandom(6_000_000))
    service.edit(lambda spec: spec["bake"]["files"].update({"big": "/app/big"}))
    full = Bakewell(small_disk)
    server = {"PREFECT_API_URL": server_of(bakewell)}
    process = subprocess.run(
        [*_command(), "release", service.folder],
        env={**full.environment, **server},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    answer = Answer(process.returncode, process.stdout, process.stderr)
    assert answer.code in (REFUSED, NO_ANSWER)
    assert "space" in said(answer) or "full" in said(answer)


def _command() -> list[str]:
    import sys

    return [sys.executable, "-m", "flows"]


def server_of(bakewell: Bakewell) -> str:
    """The address of the Prefect server of this home, started if it must be."""
    from tasks.adapters.prefect_server import LocalPrefectServer

    return LocalPrefectServer(bakewell.home).ensure(lambda line: None)


def test_a_journal_locked_by_another_writer_is_no_answer(
    bakewell: Bakewell, service: Service
) -> None:
    bakewell("history")
    with closing(sqlite3.connect(bakewell.home / "journal.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = bakewell("release", service.folder)
        other.execute("ROLLBACK")
    assert answer.code == NO_ANSWER
    assert "journal" in said(answer)


def test_of_two_releases_at_once_one_goes_on_and_the_other_is_told_who_holds_it(
    bakewell: Bakewell, service: Service
) -> None:
    service.edit(only_the_last)
    assert bakewell("release", service.folder).code == 0
    service.version(2)
    service.edit(observed_longer)
    place = bakewell("status", service.name, "--json").json[-1]
    users = _Users(place["endpoint"])
    first = bakewell.start("release", service.folder)
    assert users.until(lambda: _is_observed(bakewell, service)), "the canary was never observed"
    second = bakewell("release", service.folder)
    assert second.code == REFUSED, second.err
    assert f"is being changed by release (process {first.pid} " in said(second)
    out, err = first.communicate(timeout=120)
    users.stop()
    assert first.returncode == 0, out + err
    bakewell("down", service.name)


def test_envoy_killed_during_a_rollout_is_started_again_and_the_rollout_ends(
    bakewell: Bakewell, service: Service
) -> None:
    service.edit(only_the_last)
    assert bakewell("release", service.folder).code == 0
    service.version(2)
    service.edit(observed_longer)
    place = bakewell("status", service.name, "--json").json[-1]
    users = _Users(place["endpoint"])
    rollout = bakewell.start("release", service.folder)
    assert users.until(lambda: _is_observed(bakewell, service)), "the canary was never observed"
    for process in bakewell.processes():
        mark = process.environ().get("BAKEWELL_ENVIRONMENT", "")
        if "envoy" in process.name() and mark == f"{service.name}-production":
            process.kill()
    out, err = rollout.communicate(timeout=120)
    users.stop()
    assert rollout.returncode == 0, out + err
    assert all(place["problems"] == [] for place in bakewell("status", service.name, "--json").json)
    bakewell("down", service.name)


def only_the_last(spec: Any) -> None:
    spec["environments"] = spec["environments"][-1:]


def observed_longer(spec: Any) -> None:
    """However slow the machine is, the users' requests suffice before the deadline."""
    for place in spec["environments"]:
        place["observe"].update(minimum_seconds=4, deadline_seconds=100)


def _is_observed(bakewell: Bakewell, service: Service) -> bool:
    place: dict[str, Any] = bakewell("status", service.name, "--json").json[-1]
    # None while the splitter cannot be asked: not known is not yet observed.
    return any(0 < (group["weight"] or 0) < 100 for group in place["groups"])


class _Users:
    """Requests that may fail: Envoy is killed under them."""

    def __init__(self, url: str) -> None:
        self.url, self._stop = url, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        import httpx

        while not self._stop.wait(0.01):
            try:
                ask(self.url, 2)
            except httpx.HTTPError:
                time.sleep(0.1)

    def until(self, condition: Any, seconds: float = 60) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return True
            time.sleep(0.2)
        return False

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def test_trivy_killed_in_the_middle_is_a_scan_not_done_and_the_release_is_refused(
    bakewell: Bakewell, service: Service
) -> None:
    release = bakewell.start("release", service.folder)
    end = time.monotonic() + 60
    killed = False
    while not killed and release.poll() is None and time.monotonic() < end:
        for process in psutil.Process(release.pid).children(recursive=True):
            try:
                if process.name().startswith("trivy"):
                    process.kill()
                    killed = True
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.005)
    out, err = release.communicate(timeout=120)
    assert killed, "trivy was never seen"
    assert release.returncode == REFUSED, out + err
    assert "scan" in (out + err)
