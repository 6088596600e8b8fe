"""Bakewell's own image: baked by Bakewell from what uv.lock pins, pushed, and run by Docker as an installation.

The tests are one story, in order: the bake takes longest.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Bakewell
from tests.e2e.docker_service import Yard
from tests.support.engines import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]

ASSEMBLE = Path(__file__).parents[3] / "deployments" / "images" / "bakewell" / "assemble.py"


@pytest.fixture(scope="module")
def image(there: Yard, bakewell: Bakewell, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its reference, by digest; the engine has it."""
    folder = tmp_path_factory.mktemp("own") / "bakewell"
    words = ["--base", there.base, "--repository", f"{there.registry.host}/bakewell"]
    subprocess.run([sys.executable, ASSEMBLE, folder, *words], check=True, timeout=60)
    answer = bakewell("bake", folder, "--json", seconds=400)
    assert answer.code == 0, answer.err
    there.docker("pull", "--quiet", reference := answer.json["artifact"])
    return str(reference)


@pytest.fixture(scope="module")
def installation(there: Yard, image: str) -> Iterator[str]:
    """The name of its container."""
    name = "own-installation"
    there.docker("run", "--detach", "--init", "--name", name, image)
    yield name
    there.docker("rm", "--force", name)


def test_the_image_knows_its_commands_and_has_the_programs_that_they_need(
    there: Yard, image: str
) -> None:
    run = ("run", "--rm", "--network", "none", image, "python3", "-m", "flows")
    assert json.loads(there.docker(*run, "status", "--json")) == []
    shown = there.docker(*run, "trivy", "status")
    assert "0.76" in shown, "the scanner, in the version that is locked"


def test_all_parts_of_an_installation_are_well_in_one_container(
    there: Yard, installation: str
) -> None:
    def shown() -> Any:
        asked = ("exec", installation, "python3", "-m", "flows", "up", "--status", "--json")
        try:
            return json.loads(there.docker(*asked))
        except subprocess.CalledProcessError:  # it says so by its exit code, too
            return {}

    wait_for(lambda: shown().get("healthy") is True, 300, "an installation that is well", 1.0)
    parts = {one["name"] for one in shown()["parts"] if one["healthy"]}
    assert parts == {"receiver", "worker", "deployments", "keeper"}


def test_told_to_stop_it_goes_by_itself(there: Yard, installation: str) -> None:
    there.docker("stop", "--time", "60", installation)
    shown = there.docker("inspect", "--format", "{{.State.ExitCode}}", installation)
    assert shown == "0", there.docker("logs", installation)
