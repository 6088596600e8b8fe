"""Deployments reach the server, and its scheduler makes runs of them: the guard of the versions pinned in pyproject.

With SQLAlchemy 2.1 schedules look active and never run; with newer FastAPI `deploy --all` stops half way.
"""

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import httpx
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def pool(prefect_api: str) -> str:
    name = f"pool-{uuid.uuid4().hex[:8]}"
    made = httpx.post(f"{prefect_api}/work_pools/", json={"name": name, "type": "process"})
    assert made.status_code == 201
    return name


def deploy_all(file: Path, api: str) -> None:
    """What a person types."""
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", file],
        cwd=ROOT,
        env={**os.environ, "PREFECT_API_URL": api},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def scheduled_runs(api: str, deployment: str) -> list[dict[str, object]]:
    wanted = {
        "deployments": {"name": {"any_": [deployment]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
    }
    answer = httpx.post(f"{api}/flow_runs/filter", json=wanted)
    answer.raise_for_status()
    runs: list[dict[str, object]] = answer.json()
    return runs


def test_a_cron_deployment_gets_runs_within_20_seconds(
    prefect_api: str, pool: str, tmp_path: Path
) -> None:
    name = f"minutely-{uuid.uuid4().hex[:8]}"
    file = tmp_path / "prefect.yaml"
    template = (HERE / "minutely.yaml").read_text()
    file.write_text(template.replace("NAME", name).replace("POOL", pool))
    deploy_all(file, prefect_api)
    until = time.monotonic() + 20
    while len(runs := scheduled_runs(prefect_api, name)) < 3 and time.monotonic() < until:
        time.sleep(0.2)
    assert len(runs) >= 3, "the scheduler made no runs: are the pins in pyproject.toml still there?"
    assert all(run["parameters"] == {"start": 2} for run in runs)
    assert scheduled_runs(prefect_api, f"{name}-unscheduled") == []


def test_every_deployment_of_this_house_reaches_the_server(
    prefect_api: str, pool: str, tmp_path: Path
) -> None:
    """With two and more deployments: the second is the one that newer FastAPI refuses."""
    file = tmp_path / "prefect.yaml"
    house = (ROOT / "prefect.yaml").read_text()
    file.write_text(house.replace("pool {name: bakewell,", f"pool {{name: {pool},"))
    deploy_all(file, prefect_api)
    wanted = {"work_pools": {"name": {"any_": [pool]}}}
    found = {
        one["name"]: one
        for one in httpx.post(f"{prefect_api}/deployments/filter", json=wanted).json()
    }
    assert {"release", "rollback"} <= found.keys()
    assert all(not one["pull_steps"] for one in found.values())
