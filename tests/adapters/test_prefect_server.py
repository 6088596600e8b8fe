"""The local Prefect server: there when asked for, once only, and gone when told, whatever was killed in between."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tasks.adapters.prefect_server import (
    MARK,
    LocalPrefectServer,
    client_environment,
    mark_crashed,
)
from tasks.errors import TransientError
from tests.support.engines import free_port, wait_for

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def _nobody_elses_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One for the module: its database is made once."""
    with tempfile.TemporaryDirectory(prefix="bkw-server-") as folder:
        yield Path(folder)
        LocalPrefectServer(Path(folder)).stop()


@pytest.fixture
def server(home: Path) -> LocalPrefectServer:
    return LocalPrefectServer(home)


def ours(home: Path) -> list[psutil.Process]:
    """Every process of this home's server, by what it carries, not by what is recorded."""
    found = []
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(MARK)
            if mark and json.loads(mark)["folder"] == str(home / "prefect"):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return [one for one in found if one.status() != psutil.STATUS_ZOMBIE]


def recorded_pid(home: Path) -> int:
    return int(json.loads((home / "prefect" / "server.json").read_text())["pid"])


def test_it_is_started_once_and_found_again(home: Path, server: LocalPrefectServer) -> None:
    lines: list[str] = []
    first = server.ensure(lines.append)
    assert any("starting" in line for line in lines)
    lines.clear()
    assert LocalPrefectServer(home).ensure(lines.append) == first == server.running()
    assert lines == []
    assert len(ours(home)) == 1


def test_the_pages_in_the_browser_ask_this_very_server(server: LocalPrefectServer) -> None:
    api = server.ensure()
    with urllib.request.urlopen(f"{server.ui_url}/ui-settings") as answer:
        assert json.loads(answer.read())["api_url"] == api


def test_after_a_sigkill_a_new_one_is_started(home: Path, server: LocalPrefectServer) -> None:
    api = server.ensure()
    killed = recorded_pid(home)
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: server.running() is None)
    assert server.ensure() == api, "links into the pages stay good"
    assert recorded_pid(home) != killed
    assert len(ours(home)) == 1


def test_a_silent_server_counts_as_not_running(home: Path, server: LocalPrefectServer) -> None:
    server.ensure()
    stopped = psutil.Process(recorded_pid(home))
    stopped.suspend()
    try:
        assert server.running() is None
    finally:
        stopped.resume()
    assert server.running() is not None


def test_a_server_whose_record_was_lost_is_found(home: Path, server: LocalPrefectServer) -> None:
    """So it is after the command that started it was killed in the instant before it wrote the record."""
    api = server.ensure()
    (home / "prefect" / "server.json").unlink()
    assert server.running() is None
    assert server.ensure() == api
    assert len(ours(home)) == 1


def test_a_command_killed_while_the_server_starts_leaves_one_server(home: Path) -> None:
    server = LocalPrefectServer(home)
    server.stop()
    code = "import sys, pathlib; from tasks.adapters.prefect_server import LocalPrefectServer as S; S(pathlib.Path(sys.argv[1])).ensure()"
    starter = subprocess.Popen([sys.executable, "-c", code, str(home)])
    try:
        wait_for(lambda: len(ours(home)) == 1, what="the server's process")
        assert server.running() is None
    finally:
        starter.kill()
        starter.wait()
    assert server.ensure() == server.running()
    assert len(ours(home)) == 1


@pytest.mark.parametrize("content", ["", "{}", '{"pid": "x"}', '{"folder": "/else"', "[1]", "null"])
def test_a_record_that_cannot_be_read_is_no_server(content: str, tmp_path: Path) -> None:
    (tmp_path / "prefect").mkdir()
    (tmp_path / "prefect" / "server.json").write_text(content)
    server = LocalPrefectServer(tmp_path)
    assert server.running() is None
    assert server.ui_url == ""
    assert not server.stop()


def test_a_record_that_names_somebody_elses_process_touches_nothing(tmp_path: Path) -> None:
    """Pids are used again: this one belongs to a stranger now."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        record = {"folder": str(tmp_path / "prefect"), "port": 4200, "version": "3", "pid": 0}
        (tmp_path / "prefect").mkdir()
        (tmp_path / "prefect" / "server.json").write_text(
            json.dumps(record | {"pid": stranger.pid})
        )
        try:
            assert not LocalPrefectServer(tmp_path).stop()
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_where_the_port_is_taken_another_is_used(home: Path, server: LocalPrefectServer) -> None:
    server.ensure()
    port = json.loads((home / "prefect" / "server.json").read_text())["port"]
    server.stop()
    with socket.create_server(("127.0.0.1", port)):
        api = server.ensure()
        assert f":{port}/" not in api
        assert server.running() == api


def test_where_somebody_is_quicker_at_the_port_it_tries_again(
    home: Path, server: LocalPrefectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.stop()
    with socket.create_server(("127.0.0.1", 0)) as quicker:
        taken, free = quicker.getsockname()[1], free_port()
        looks = iter([taken, free])
        monkeypatch.setattr(LocalPrefectServer, "_port", lambda self: next(looks))
        assert server.ensure() == f"http://127.0.0.1:{free}/api"
    assert len(ours(home)) == 1


def _ensure(home: Path, answers: "multiprocessing.Queue[str]") -> None:
    answers.put(LocalPrefectServer(home).ensure())


def test_commands_at_once_start_one_server(home: Path, server: LocalPrefectServer) -> None:
    server.stop()
    spawn = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[str] = spawn.Queue()
    commands = [spawn.Process(target=_ensure, args=(home, answers)) for _ in range(3)]
    for command in commands:
        command.start()
    found = {answers.get(timeout=120) for _ in commands}
    for command in commands:
        command.join()
    assert found == {server.running()}
    assert len(ours(home)) == 1


def test_stop_leaves_no_process_and_says_whether_there_was_one(
    home: Path, server: LocalPrefectServer
) -> None:
    server.ensure()
    assert server.stop()
    assert ours(home) == []
    assert not server.stop()
    assert server.running() is None


def test_stop_ends_a_server_that_does_not_listen_to_signals(
    home: Path, server: LocalPrefectServer
) -> None:
    server.ensure()
    psutil.Process(recorded_pid(home)).suspend()
    assert server.stop(grace_seconds=0.5)
    assert ours(home) == []


def test_a_server_that_cannot_start_is_an_error_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "nonsense://")
    with pytest.raises(TransientError, match=r"ended.*server\.log"):
        LocalPrefectServer(tmp_path).ensure()
    assert ours(tmp_path) == []


def test_the_users_own_server_is_asked_and_never_replaced(
    home: Path, server: LocalPrefectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.ensure() + "/")
    other = LocalPrefectServer(tmp_path)
    assert other.ensure() == server.running()
    assert other.running() is None
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port()}/api")
    with pytest.raises(TransientError, match="correct PREFECT_API_URL"):
        other.ensure()
    assert ours(tmp_path) == []


def test_a_client_gets_only_settings_the_user_has_not_made(
    home: Path, server: LocalPrefectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_RESULTS_DEFAULT_SERIALIZER", "pickle")
    settings = client_environment(server.ensure(), home)
    assert settings["PREFECT_API_URL"] == server.running()
    assert settings["PREFECT_HOME"] == str(home / "prefect")
    assert settings["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert "PREFECT_RESULTS_DEFAULT_SERIALIZER" not in settings
    assert "PREFECT_HOME" not in client_environment("http://127.0.0.1:1/api", home)


def test_every_setting_has_a_name_that_prefect_knows(
    home: Path, server: LocalPrefectServer
) -> None:
    """A misspelt one would be ignored in silence."""
    from prefect.settings import Settings
    from prefect.settings.base import PrefectBaseSettings

    from tasks.adapters.prefect_server import CLIENT_SETTINGS, SERVER_SETTINGS

    def names(model: type[PrefectBaseSettings]) -> set[str]:
        found = set()
        for name, field in model.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, PrefectBaseSettings):
                found |= names(kind)
            else:
                found.add(f"{model.model_config.get('env_prefix', 'PREFECT_')}{name}".upper())
                aliases = getattr(field.validation_alias, "choices", None) or []
                found |= {str(alias).upper() for alias in aliases}
        return found

    of_logging = {name for name in CLIENT_SETTINGS if name.startswith("PREFECT_LOGGING_HANDLERS_")}
    ours = {"DO_NOT_TRACK", *of_logging}
    set_here = (SERVER_SETTINGS.keys() | CLIENT_SETTINGS.keys()) - ours
    assert {f"PREFECT_{name.removeprefix('PREFECT_')}" for name in set_here} <= names(Settings)


def test_prefects_own_lines_stay_off_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """This setting overrides a value in Prefect's logging.yml: no model knows its name."""
    from prefect.logging.configuration import DEFAULT_LOGGING_SETTINGS_PATH, load_logging_config

    from tasks.adapters.prefect_server import CLIENT_SETTINGS

    name = "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"
    monkeypatch.setenv(name, CLIENT_SETTINGS[name])
    found = load_logging_config(DEFAULT_LOGGING_SETTINGS_PATH)
    assert found["handlers"]["console"]["level"] == "CRITICAL"


def test_a_run_that_nobody_runs_is_shown_as_crashed_and_an_ended_one_kept(
    server: LocalPrefectServer,
) -> None:
    api = server.ensure()
    run = _run_in_state(api, "RUNNING")
    assert mark_crashed(run, "its process is gone", api)
    found = _get(f"{api}/flow_runs/{run}")["state"]
    assert (found["type"], found["message"]) == ("CRASHED", "its process is gone")
    assert not mark_crashed(_run_in_state(api, "COMPLETED"), "late", api)
    assert not mark_crashed(str(uuid.uuid4()), "unknown", api)
    assert not mark_crashed(run, "nobody there", f"http://127.0.0.1:{free_port()}/api")
    assert not mark_crashed(run, "no server known")


def _run_in_state(api: str, state: str) -> str:
    flow = _post(f"{api}/flows/", {"name": "left"})["id"]
    run = _post(f"{api}/flow_runs/", {"flow_id": flow, "state": {"type": "PENDING"}})["id"]
    _post(f"{api}/flow_runs/{run}/set_state", {"state": {"type": state}, "force": True})
    return str(run)


def _post(url: str, body: dict[str, object]) -> dict[str, str]:
    """On SQLite it answers 503 now and then, and wants to be asked again."""
    end = time.monotonic() + 30
    while True:
        try:
            return _posted(url, body)
        except urllib.error.HTTPError as error:
            if error.code != 503 or time.monotonic() > end:
                raise
            time.sleep(0.3)


def _posted(url: str, body: dict[str, object]) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        found: dict[str, str] = json.loads(answer.read())
        return found


def _get(url: str) -> dict[str, dict[str, str]]:
    with urllib.request.urlopen(url) as answer:
        found: dict[str, dict[str, str]] = json.loads(answer.read())
        return found


def test_finding_the_server_again_costs_no_time(server: LocalPrefectServer) -> None:
    server.ensure()
    begun = time.monotonic()
    server.ensure()
    assert time.monotonic() - begun < 1.0
