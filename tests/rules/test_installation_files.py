"""What lies in deployments/ for a team's installation fits the code and uv.lock."""

import importlib.metadata
import importlib.util
import tomllib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows import installation
from flows.command import app
from flows.command_up import USUAL_RECEIVER_PORT
from flows.stopping import SUPERVISOR_SECONDS
from flows.worker import GRACE_SECONDS
from tasks.adapters.database_setting import DATABASE
from tasks.adapters.service_file import read_service
from tasks.bake.lock import locked_packages
from tasks.platforms import HOME, JOURNAL
from tasks.recipes import Bake

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = ROOT / "deployments"
BASE = f"docker.io/library/python@sha256:{'5' * 64}"
MACHINE = {"sys_platform": "linux", "platform_machine": "x86_64"}
UNITS = {"bakewell.service": SUPERVISOR_SECONDS, "bakewell-worker.service": GRACE_SECONDS}


def assembler() -> ModuleType:
    file = DEPLOYMENTS / "images" / "bakewell" / "assemble.py"
    spec = importlib.util.spec_from_file_location("assemble", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("image") / "bakewell"
    assembler().assemble(made, BASE)
    return made


@pytest.fixture(scope="module")
def compose() -> Any:
    return YAML(typ="safe").load((DEPLOYMENTS / "compose" / "compose.yaml").read_text())


def is_understood(words: list[str]) -> bool:
    """By the command line that a person types at."""
    command, bound, ignored = app.parse_args(words, exit_on_error=False, print_error=False)
    return command.__name__ == words[0] and not ignored and bound is not None


def test_what_is_assembled_is_a_service_that_can_be_baked(folder: Path) -> None:
    spec, _ = read_service(folder)
    assert isinstance(spec.bake, Bake)
    assert spec.bake.base == BASE
    assert all((folder / name).exists() for name in spec.bake.files)
    assert not list(folder.rglob("*.pyc"))
    assert spec.bake.port == USUAL_RECEIVER_PORT
    assert spec.bake.grace_seconds >= SUPERVISOR_SECONDS


def test_the_image_knows_its_own_version(folder: Path) -> None:
    (found,) = importlib.metadata.distributions(path=[str(folder)])
    assert (found.name, found.version) == ("bakewell", app.version)


def test_the_image_has_what_uv_lock_pins_and_nothing_for_development(folder: Path) -> None:
    text = (folder / "requirements.txt").read_text()
    pinned = {one.name: one.version for one in locked_packages(text, "requirements.txt", MACHINE)}
    lock: dict[str, Any] = tomllib.loads((ROOT / "uv.lock").read_text())
    known = {(one["name"], one.get("version")) for one in lock["package"]}
    assert {"prefect", "sqlalchemy", "starlette", "aiosqlite"} <= pinned.keys()
    assert set(pinned.items()) <= known
    assert {name: importlib.metadata.version(name) for name in pinned} == pinned, "as it is here"
    assert not {"pytest", "mypy", "playwright", "bakewell"} & pinned.keys()


def test_assembling_does_not_delete_what_somebody_else_keeps(tmp_path: Path) -> None:
    (tmp_path / "letters").write_text("dear")
    with pytest.raises(SystemExit):
        assembler().assemble(tmp_path, BASE)
    assert (tmp_path / "letters").read_text() == "dear"


def test_compose_starts_and_asks_what_the_command_line_has(compose: Any, folder: Path) -> None:
    ours = compose["services"]["bakewell"]
    spec, _ = read_service(folder)
    assert isinstance(spec.bake, Bake)
    for command in (ours["command"], spec.bake.command):
        assert command[:3] == ["python3", "-m", "flows"]
        assert is_understood(command[3:])
    assert ours["healthcheck"]["test"] == ["CMD", "python3", "-m", installation.__name__]


def test_an_installation_that_is_not_up_is_not_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME, str(tmp_path))
    assert installation.main() == 5
    state = installation.UpState(1, 0.0, "", "", True, ())
    with installation.the_only_one(tmp_path):
        assert installation.main() == 5, "it has said nothing yet"
        installation.remember_state(tmp_path, state)
        assert installation.main() == 0
        installation.remember_state(tmp_path, replace(state, healthy=False))
        assert installation.main() == 5
    installation.remember_state(tmp_path, state)
    assert installation.main() == 5, "the supervisor is dead, whatever it said last"


def test_compose_keeps_what_has_to_be_kept_and_waits_until_it_has_drained(compose: Any) -> None:
    ours, database = compose["services"]["bakewell"], compose["services"]["postgres"]
    assert "home:/data" in ours["volumes"], "where the image has its $BAKEWELL_HOME"
    named = [volume.partition(":")[0] for volume in (*ours["volumes"], *database["volumes"])]
    assert {name for name in named if name[0] not in "./"} == set(compose["volumes"])
    assert float(ours["stop_grace_period"].removesuffix("s")) >= SUPERVISOR_SECONDS
    assert {DATABASE, JOURNAL} <= ours["environment"].keys()


def test_compose_shows_nothing_to_other_machines(compose: Any) -> None:
    published = [port for one in compose["services"].values() for port in one.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_that_stops_leaves_alone_what_serves_users(name: str) -> None:
    """With any other mode systemd kills every instance and Envoy of the control group."""
    unit = (DEPLOYMENTS / "systemd" / name).read_text().splitlines()
    assert {"KillMode=process", "OOMPolicy=continue"} <= set(unit)


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_starts_what_the_command_line_has_and_waits_until_it_has_drained(name: str) -> None:
    lines = (DEPLOYMENTS / "systemd" / name).read_text().splitlines()
    unit = dict(line.split("=", 1) for line in lines if "=" in line)
    commands = [text.split() for setting, text in unit.items() if setting.startswith("Exec")]
    assert {program for program, *_ in commands} == {"/opt/bakewell/bin/bakewell"}
    assert all(is_understood(words) for _, *words in commands)
    assert float(unit["TimeoutStopSec"]) >= UNITS[name]
