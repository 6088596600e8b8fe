"""A work pool with deployments of this house's flows, and a worker to take their runs: a process of its own, to be killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from tasks.adapters.prefect_server import client_environment

ROOT = Path(__file__).parents[2]


def make_deployments(api: str, pool: str, flows: Mapping[str, str]) -> None:
    """`flow/name` of each deployment, and its entrypoint: as `prefect deploy` writes them, without its eight seconds."""
    httpx.post(f"{api}/work_pools/", json={"name": pool, "type": "process"}).raise_for_status()
    for named, entrypoint in flows.items():
        flow, _, name = named.partition("/")
        made = httpx.post(f"{api}/flows/", json={"name": flow}).raise_for_status().json()
        asked = {
            "name": name,
            "flow_id": made["id"],
            "entrypoint": entrypoint,
            "work_pool_name": pool,
            "pull_steps": [],
            "job_variables": {"stream_output": False},
            "enforce_parameter_schema": False,
        }
        httpx.post(f"{api}/deployments/", json=asked).raise_for_status()


@contextmanager
def worker(api: str, home: Path, pool: str) -> Iterator[subprocess.Popen[bytes]]:
    """It looks for runs every second. Killed at the end with all that it started, if nobody has killed it before."""
    command = [sys.executable, "-P", "-m", "prefect", "worker", "start", "--pool", pool]
    ours = {
        **os.environ,
        **client_environment(api, home),
        "BAKEWELL_HOME": str(home),
        "PREFECT_API_URL": api,
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    ours.pop("PYTHONDONTWRITEBYTECODE", None)
    with (home / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=ours, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """At once, without a word, with its flows."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
