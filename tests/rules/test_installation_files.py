"""What lies in deployments/ for a team's installation fits the code and uv.lock."""

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks.adapters.service_file import read_service
from tasks.bake.lock import locked_packages
from tasks.recipes import Bake

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = ROOT / "deployments"
BASE = f"docker.io/library/python@sha256:{'5' * 64}"
MACHINE = {"sys_platform": "linux", "platform_machine": "x86_64"}


@pytest.fixture(scope="module")
def assembler() -> ModuleType:
    file = DEPLOYMENTS / "images" / "bakewell" / "assemble.py"
    spec = importlib.util.spec_from_file_location("assemble", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(assembler: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("image") / "bakewell"
    assembler.assemble(made, BASE)
    return made


def test_what_is_assembled_is_a_service_that_can_be_baked(folder: Path) -> None:
    spec, _ = read_service(folder)
    assert isinstance(spec.bake, Bake)
    assert spec.bake.base == BASE
    assert all((folder / name).exists() for name in spec.bake.files)
    assert not list(folder.rglob("*.pyc"))


def test_the_image_has_what_uv_lock_pins_and_nothing_for_development(folder: Path) -> None:
    text = (folder / "requirements.txt").read_text()
    pinned = {one.name: one.version for one in locked_packages(text, "requirements.txt", MACHINE)}
    lock: dict[str, Any] = tomllib.loads((ROOT / "uv.lock").read_text())
    known = {one["name"]: one.get("version") for one in lock["package"]}
    assert {"prefect", "sqlalchemy", "starlette", "aiosqlite"} <= pinned.keys()
    assert {name: known[name] for name in pinned} == pinned
    assert not {"pytest", "mypy", "playwright", "bakewell"} & pinned.keys()


def test_assembling_does_not_delete_what_somebody_else_keeps(
    assembler: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "letters").write_text("dear")
    with pytest.raises(SystemExit):
        assembler.assemble(tmp_path, BASE)
    assert (tmp_path / "letters").read_text() == "dear"


def test_every_module_that_compose_starts_is_there() -> None:
    compose = YAML(typ="safe").load((DEPLOYMENTS / "compose" / "compose.yaml").read_text())
    started = [one["command"] for one in compose["services"].values() if "command" in one]
    modules = {command[command.index("-m") + 1] for command in started}
    missing = {name for name in modules if importlib.util.find_spec(name) is None}
    assert missing <= {"flows.receiving"}
    assert {"flows", "flows.keeper", "flows.deploying"} <= modules


@pytest.mark.parametrize("name", ["bakewell.service", "bakewell-worker.service"])
def test_a_unit_that_stops_leaves_alone_what_serves_users(name: str) -> None:
    """With any other mode systemd kills every instance and Envoy of the control group."""
    unit = (DEPLOYMENTS / "systemd" / name).read_text().splitlines()
    assert "KillMode=process" in unit
    assert any(line.startswith("ExecStart=/opt/bakewell/bin/bakewell ") for line in unit)
