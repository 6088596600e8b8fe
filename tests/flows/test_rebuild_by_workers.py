"""A rebuild whose releases are runs of the deployment: begun once, whoever takes the rebuild up; waited for; done by others."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any
from uuid import UUID, uuid4

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.deployments.runner import RunnerDeployment
from prefect.flow_engine import run_flow
from prefect.flows import Flow

from flows.rebuild import rebuild
from flows.rebuilding import Through
from flows.release import release
from tasks.stale import Rebuilt
from tests.flows.test_rebuild import Ground, ground, started
from tests.support.standing import base_of, released

__all__ = ["ground"]


@contextmanager
def worker(flow: Flow[..., Any]) -> Iterator[list[FlowRun]]:
    """Does what a worker does, in a thread of this process: the platform in memory knows no other. Yields what it has run."""
    deployment = flow.to_deployment(flow.name)
    assert isinstance(deployment, RunnerDeployment)
    made = deployment.apply()
    stop, done = threading.Event(), list[FlowRun]()
    here = (
        copy_context()
    )  # Prefect's settings are in it: without them the thread would start a server of its own
    thread = threading.Thread(target=here.run, args=(_work, flow, made, stop, done))
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()


def _work(
    flow: Flow[..., Any], deployment: UUID, stop: threading.Event, done: list[FlowRun]
) -> None:
    with get_client(sync_client=True) as client:
        while not stop.wait(0.1):
            for run in _scheduled(client, deployment):
                run_flow(flow, flow_run=run, return_type="state")
                done.append(run)


def _scheduled(client: SyncPrefectClient, deployment: UUID) -> list[FlowRun]:
    mine = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
    found = client.read_flow_runs(deployment_filter=mine)
    return [run for run in found if run.state and run.state.is_scheduled()]


def test_releases_run_elsewhere_and_are_waited_for(ground: Ground) -> None:
    name = f"s{uuid4().hex[:10]}"  # the server may have served other tests
    ground.on_base(name)
    moved = ground.move("second")
    with worker(release) as done:
        state = rebuild(through=Through.DEPLOYMENT)
    assert state.outcomes == {name: Rebuilt.PATCHED}, state.done
    assert base_of(released(name)) == moved
    keys = [run.idempotency_key for run in done]  # other tests' runs may have waited there, too
    assert keys.count(f"rebuild:{state.name}:{name}") == 1
    assert started(name)[-1].lane.reason.startswith(f"{state.name}: its base")
