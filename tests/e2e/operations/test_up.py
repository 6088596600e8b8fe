"""`bakewell up`: there with one command, there again whatever is killed, and gone without a canary left behind.

The tests are one story, in order: an installation takes long to start.
"""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tasks.adapters.prefect_api import FlowRun
from tasks.adapters.prefect_server import LocalPrefectServer
from tests.e2e.conftest import Service, copy_of_example, home_of_its_own
from tests.e2e.operations.installed import (
    Installation,
    asked_again,
    kill,
    only_production,
    up,
    withdrawn_at,
)
from tests.support.engines import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(600)]

SAFE_WITHIN_SECONDS = 15.0
"""A rollout whose process was killed: a round of the keeper (5 s), and what it takes to move users on a busy machine."""


MENDED_WITHIN_SECONDS = 30.0
"""Instances and splitter were killed: until the keeper looks (15 s), and what it takes to start them on a busy machine."""


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    with home_of_its_own() as bakewell:
        found = up(bakewell)
        yield found
        found.api.close()


@pytest.fixture(scope="module")
def service(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """Its first version serves, released by a run of the deployment."""
    made = copy_of_example(tmp_path_factory.mktemp("services"), "upheld")
    made.edit(only_production)
    run = installation.release(made)
    assert installation.ended(run) == "Completed"
    return made


def begin(installation: Installation, service: Service, version: int) -> FlowRun:
    """A rollout whose canary has traffic; the run of its release."""
    service.version(version)
    run = installation.release(service)
    wait_for(lambda: installation.canary_is_served(service), 90, "a canary with traffic", 0.5)
    return run


def test_everything_is_up_and_says_where(installation: Installation) -> None:
    shown = installation.bakewell("up", "--status", "--json").json
    assert shown["up"]
    assert {one["name"] for one in shown["parts"] if one["healthy"]} >= {"worker", "keeper"}
    assert "drift/drift" in installation.api.deployments("bakewell")
    again = installation.bakewell("up")
    assert (again.code, "it is up already" in again.out) == (0, True)
    assert shown["ui"] in again.out


def test_what_died_outside_of_any_rollout_is_served_again_without_a_person(
    installation: Installation, service: Service
) -> None:
    """As after a reboot, or if the kernel wanted memory: all instances and Envoy."""
    endpoint, victims = installation.endpoint(service), installation.serving(service)
    assert len(victims) >= 2
    assert answers(endpoint)
    killed = kill(*victims)
    wait_for(lambda: answers(endpoint), 90, "users to be served", 0.1)
    assert time.time() - killed < MENDED_WITHIN_SECONDS
    words = ["drift found", "healed", "drift found"]
    wait_for(lambda: told(installation, service)[-3:] == words, 30, "the journal's word")
    assert installation.safe_again(service)


def answers(endpoint: str) -> bool:
    try:
        return httpx.get(endpoint, timeout=2.0).status_code == 200
    except httpx.HTTPError:
        return False


def told(installation: Installation, service: Service) -> list[str]:
    return [one.kind for one in installation.journal.events(service.name)]


def test_a_rollout_whose_process_is_killed_is_taken_back_without_a_person(
    installation: Installation, service: Service
) -> None:
    run = begin(installation, service, 2)
    killed = kill(installation.doer(service))
    wait_for(lambda: installation.safe_again(service), 60, "users to be safe", 0.3)
    assert (withdrawn_at(installation, service) or 0.0) - killed < SAFE_WITHIN_SECONDS
    assert installation.ended(run) == "Crashed"


def test_worker_and_rollout_killed_together_leave_neither_canary_nor_zombie(
    installation: Installation, service: Service
) -> None:
    run, worker = begin(installation, service, 3), installation.part("worker")
    killed = kill(worker.pid, installation.doer(service))
    wait_for(lambda: installation.safe_again(service), 60, "users to be safe", 0.3)
    assert (withdrawn_at(installation, service) or 0.0) - killed < SAFE_WITHIN_SECONDS
    assert installation.ended(run) == "Crashed"
    assert installation.part("worker").pid != worker.pid, "a new worker is there"


def test_a_run_that_is_cancelled_in_the_pages_withdraws_its_canary(
    installation: Installation, service: Service
) -> None:
    run = begin(installation, service, 4)
    asked_again(lambda: installation.api.set_state(run.id, "CANCELLING", "Cancelling", "enough"))
    assert installation.ended(run) == "Cancelled"
    assert installation.safe_again(service)
    assert "TerminationSignal" in reasons(installation, service)[-1], "the flow itself did it"


def test_a_keeper_that_is_killed_is_there_again(installation: Installation) -> None:
    before = installation.part("keeper").pid
    kill(before)
    wait_for(lambda: keeper_is_new(installation, before), 60, "another keeper")


def keeper_is_new(installation: Installation, before: int) -> bool:
    shown = installation.bakewell("up", "--status", "--json").json
    (keeper,) = [one for one in shown["parts"] if one["name"] == "keeper"]
    return bool(keeper["healthy"] and keeper["pid"] not in (0, before) and keeper["restarts"])


def test_a_server_that_is_killed_is_there_again_at_the_same_address(
    installation: Installation,
) -> None:
    server = LocalPrefectServer(installation.home)
    api = server.running()
    kill(json.loads((installation.home / "prefect" / "server.json").read_text())["pid"])
    wait_for(lambda: server.running() == api, 120, "the server")


def test_the_next_up_takes_over_what_a_killed_one_left(
    installation: Installation, service: Service
) -> None:
    """And the rollout that goes on meanwhile goes on."""
    begin(installation, service, 5)
    doer, worker = installation.doer(service), installation.part("worker").pid
    kill(installation.bakewell("up", "--status", "--json").json["pid"])
    assert installation.bakewell("up", "--detach").code == 0
    assert installation.part("worker").pid == worker
    assert installation.doer(service) == doer


def test_down_all_takes_the_rollout_back_before_the_worker_goes(
    installation: Installation, service: Service
) -> None:
    """Prefect's own worker would have killed it, and left its run Running for ever."""
    state = installation.state(service)
    if state is None or state.rollout is None:  # this test alone
        begin(installation, service, 6)
    begun = time.time()
    answer = installation.bakewell("down", "--all")
    assert answer.code == 0, answer.err
    assert (withdrawn_at(installation, service) or 0.0) > begun
    assert "TerminationSignal" in reasons(installation, service)[-1]
    kinds = [one.kind for one in installation.journal.events(service.name)]
    assert kinds.index("went down") > len(kinds) - 1 - kinds[::-1].index("withdrawn")
    assert installation.bakewell.processes() == []
    assert states_in(installation.home / "prefect" / "prefect.db") & {"RUNNING", "PENDING"} == set()


def reasons(installation: Installation, service: Service) -> list[str]:
    """Why rollouts were withdrawn."""
    events = installation.journal.events(service.name)
    return [str(event.body["reason"]) for event in events if event.kind == "withdrawn"]


def states_in(database: Path) -> set[str]:
    """Of all runs, asked of the file: the server is gone."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("select distinct state_type from flow_run").fetchall()
    return {str(row[0]) for row in found}
