"""Two workers on one PostgreSQL: Prefect's database and the journal there, and each release is done exactly once."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from tasks.adapters.database_setting import DATABASE
from tasks.adapters.journal import SqlJournal
from tasks.adapters.prefect_api import FlowRun
from tasks.journal.rules import verify_chain
from tests.e2e.conftest import Bakewell, Service, copy_of_example
from tests.e2e.operations.installed import Installation, up
from tests.support.engines import wait_for
from tests.support.postgres import running_postgres

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(400)]

WORKERS = ("one", "two")
RELEASES = 3


@dataclass(frozen=True)
class Shared(Bakewell):
    """`bakewell` with databases that others use, too."""

    databases: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self.databases}


@pytest.fixture(scope="module")
def databases() -> Iterator[dict[str, str]]:
    """Two, for Prefect and the journal each have a table `events`."""
    with running_postgres() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create database journal")
        journal = f"{url.removesuffix('/postgres')}/journal"
        prefect = url.replace("postgresql://", "postgresql+asyncpg://", 1)
        yield {DATABASE: prefect, "BAKEWELL_JOURNAL": journal}


@pytest.fixture(scope="module")
def installation(databases: dict[str, str]) -> Iterator[Installation]:
    """Without a worker of its own."""
    bakewell = Shared(Path(tempfile.mkdtemp(prefix="bkw-")), databases=databases)
    bakewell.fresh_database()
    try:
        found = up(bakewell, "--runs-at-once", "0")
        yield found
        found.api.close()
    finally:
        bakewell.end_what_a_failed_test_left()
        assert bakewell("down", "--all").code == 0
        shutil.rmtree(bakewell.home, ignore_errors=True)


@contextmanager
def working(installation: Installation) -> Iterator[list[subprocess.Popen[str]]]:
    """Both, with one run at a time each, until the block is left; then they have to go by themselves."""
    address = {"PREFECT_API_URL": installation.api.address}
    with tempfile.TemporaryFile("w+") as log:
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "flows", *arguments],
                env={**installation.bakewell.environment, **address},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
            for arguments in [("worker", "--name", name, "--runs-at-once", "1") for name in WORKERS]
        ]
        try:
            yield processes
            for process in processes:
                process.send_signal(signal.SIGTERM)
            assert [process.wait(60) for process in processes] == [0, 0]
        finally:
            for process in processes:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            log.seek(0)
            print(log.read())


def in_memory(spec: Any) -> None:
    """Nothing is started: what is shared is the work, not a machine."""
    place = spec["environments"][0]
    place |= {"platform": "memory", "strategy": {"kind": "all-at-once"}}
    spec["environments"] = [place]
    del spec["smoke"]


def test_each_release_is_done_once_and_both_workers_take_part(
    installation: Installation, databases: dict[str, str], tmp_path: Path
) -> None:
    services = [copy_of_example(tmp_path, f"shared-{number}") for number in range(RELEASES)]
    for service in services:
        service.edit(in_memory)
    runs = [installation.release(service) for service in services]
    engines: dict[int, int] = {}
    with working(installation) as workers:

        def all_are_taken() -> bool:
            for worker in workers:
                children(worker, engines)
            return all(installation.run(run.id).state != "SCHEDULED" for run in runs)

        wait_for(all_are_taken, 180, "somebody for each run", 0.5)
        for worker in workers:
            worker.send_signal(signal.SIGUSR1)
        for worker in workers:
            children(worker, engines)
            assert worker.wait(120) == 0, "it lets its runs finish, and goes"
    assert [outcome_of(installation.api.address, run) for run in runs] == ["Completed: "] * RELEASES
    took_part = {engines[engine_of(installation.api.address, run)] for run in runs}
    assert took_part == {worker.pid for worker in workers}
    journal = SqlJournal(databases["BAKEWELL_JOURNAL"])
    for service in services:
        assert once(journal, service) == {
            "release started": 1,
            "promoted": 1,
            "release finished": 1,
        }
    assert verify_chain(journal.events()) is None


def children(worker: subprocess.Popen[str], engines: dict[int, int]) -> None:
    """Note whose engine each process is."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(worker.pid).children():
            engines[child.pid] = worker.pid


def engine_of(api: str, run: FlowRun) -> int:
    answer: dict[str, Any] = httpx.get(f"{api}/flow_runs/{run.id}").json()
    return int(answer["infrastructure_pid"])


def outcome_of(api: str, run: FlowRun) -> str:
    """Its state, and what it says of it."""
    state: dict[str, Any] = httpx.get(f"{api}/flow_runs/{run.id}").json()["state"]
    return f"{state['name']}: {state['message'] or ''}"


def once(journal: SqlJournal, service: Service) -> dict[str, int]:
    found = Counter(event.kind for event in journal.events(service.name))
    return {kind: found[kind] for kind in ("release started", "promoted", "release finished")}
