"""A rollout's machine is gone: nobody here can tell that its process died, so its lease has to run out."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.tenure import LEASE_SECONDS
from tasks.adapters.journal import SqlJournal
from tasks.adapters.owner import parse
from tasks.adapters.prefect_api import PrefectApi
from tasks.adapters.prefect_server import LocalPrefectServer
from tests.e2e.conftest import Bakewell, Service, copy_of_example, home_of_its_own
from tests.e2e.operations.installed import Installation, kill, only_production, withdrawn_at
from tests.support.engines import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.slow]

ROUND_SECONDS = 5.0
TO_MOVE_SECONDS = 15.0
"""More than users need to be moved, on a busy machine."""


@pytest.fixture
def bakewell() -> Iterator[Bakewell]:
    with home_of_its_own() as found:
        yield found


@contextmanager
def release_elsewhere(bakewell: Bakewell, service: Service) -> Iterator[None]:
    """By a host of another name: what runs there can be seen from here, and nobody here may conclude anything from that."""
    command = f"hostname elsewhere && exec {sys.executable} -m flows release"
    process = subprocess.Popen(
        ["unshare", "--uts", "sh", "-c", f"{command} {service.folder}"],
        env=bakewell.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def keeper(bakewell: Bakewell) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.keeper"],
        env=bakewell.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(30) == 0


@pytest.mark.skipif(
    not os.environ.get("CI") and (os.geteuid() != 0 or not shutil.which("unshare")),
    reason="needs root, to be a host of another name",
)
def test_users_return_when_the_lease_of_a_machine_that_is_gone_has_run_out(
    bakewell: Bakewell, tmp_path: Path
) -> None:
    service = copy_of_example(tmp_path, "far")
    service.edit(only_production)
    first = bakewell("release", service.folder)
    assert first.code == 0, first.out + first.err
    service.version(2)
    api = LocalPrefectServer(bakewell.home).ensure(lambda line: None)
    here = Installation(bakewell, PrefectApi(api))
    with keeper(bakewell), release_elsewhere(bakewell, service):
        wait_for(lambda: here.canary_is_served(service), 90, "a canary", 0.2)
        lease = SqlJournal(f"sqlite:///{bakewell.home / 'journal.db'}").holder(
            service.name, "production"
        )
        owner = parse(lease.owner) if lease else None
        assert owner is not None
        assert owner.host == "elsewhere"
        killed_at = kill(owner.pid)
        wait_for(lambda: here.safe_again(service), 60, "users on the stable release", 0.3)
    withdrawn = withdrawn_at(here, service)
    assert withdrawn is not None
    took = withdrawn - killed_at
    assert took > LEASE_SECONDS / 2, (
        "as long as the lease holds nobody may conclude that it is gone"
    )
    assert took < LEASE_SECONDS + ROUND_SECONDS + TO_MOVE_SECONDS
