"""Compose and systemd themselves read what lies in deployments/ for them, and find nothing to say against it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.debian_packages import unpacked
from tests.support.engines import program

pytestmark = pytest.mark.engine

DEPLOYMENTS = Path(__file__).parents[2] / "deployments"
SETTINGS = {
    "BAKEWELL_IMAGE": f"registry.example.org/bakewell@sha256:{'5' * 64}",
    "POSTGRES_IMAGE": f"docker.io/library/postgres@sha256:{'6' * 64}",
    "POSTGRES_PASSWORD": "secret",
}


def compose(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """`docker compose config` of version 2, the one that knows all of the Compose Specification."""
    packages = unpacked("compose", "trixie", "docker-compose")
    binary = packages / "usr/libexec/docker/cli-plugins/docker-compose"
    return subprocess.run(
        [binary, "--file", folder / "compose.yaml", "config", "--format", "json"],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(DEPLOYMENTS / "compose", tmp_path / "compose")


def test_compose_takes_the_file_and_every_file_that_it_names_is_there(folder: Path) -> None:
    done = compose(folder, **SETTINGS)
    assert (done.returncode, done.stderr) == (0, "")
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    assert services["bakewell"]["image"] == SETTINGS["BAKEWELL_IMAGE"]
    bound = [one["source"] for one in services["postgres"]["volumes"] if one["type"] == "bind"]
    assert bound
    assert all(Path(source).is_file() for source in bound)


@pytest.mark.parametrize("missing", SETTINGS)
def test_compose_begins_nothing_without_what_has_no_default(folder: Path, missing: str) -> None:
    done = compose(folder, **{name: text for name, text in SETTINGS.items() if name != missing})
    assert done.returncode != 0
    assert missing in done.stderr


@pytest.mark.parametrize("name", ["bakewell.service", "bakewell-worker.service"])
def test_systemd_finds_nothing_wrong_with_a_unit(name: str, tmp_path: Path) -> None:
    """It passes over settings that it does not know, and says so; nothing may be said."""
    analyze = program("systemd-analyze", "systemd")
    installed = Path(sys.executable).parent / "bakewell"
    unit = (DEPLOYMENTS / "systemd" / name).read_text()
    (tmp_path / name).write_text(unit.replace("/opt/bakewell/bin/bakewell", str(installed)))
    done = subprocess.run(
        [analyze, "verify", "--man=no", tmp_path / name],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
