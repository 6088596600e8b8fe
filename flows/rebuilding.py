"""Rebuilding one service of a rebuild: from the source it was released from, on what its bases are now, as a patch."""

import getpass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment

from flows.promotion import promote
from flows.rebuild_source import source_of_release
from flows.release import ReleaseRequest, release
from flows.staleness import standing_now
from tasks.errors import BakewellError
from tasks.lanes import LaneKind
from tasks.rebuild.rules import followed
from tasks.stale import Stale

DEPLOYMENT: Final = "release/release"
LONGEST_SECONDS: Final = 6 * 3600.0
POLL_SECONDS: Final = 2.0


class Through(StrEnum):
    """Where the releases of a rebuild run: in its own process, or each as a run of the deployment, by any worker."""

    PROCESS = "process"
    DEPLOYMENT = "deployment"


@task(cache_policy=NO_CACHE, task_run_name="rebuild {stale.service}")
def rebuild_service(stale: Stale, rebuild: str, through: Through) -> str:
    """What kept it from being rebuilt; empty if nothing did. What became of it the journal knows."""
    try:
        if (request := request_for(stale, rebuild)) is None:
            finish_what_was_killed(stale.service)
            return ""
        if through is Through.PROCESS:
            release(ReleaseRequest(**request))
            return ""
        return _run_elsewhere(request, f"rebuild:{rebuild}:{stale.service}")
    except BakewellError as error:
        return str(error)


def request_for(stale: Stale, rebuild: str) -> dict[str, Any] | None:
    """None if it was released since it was found stale: there is nothing left to do. RefusedError without its source."""
    stands, now = standing_now(stale.service)
    if stands.artifact.digest != stale.digest:
        return None
    return {
        **source_of_release(stands),
        "lane": LaneKind.PATCH,
        "reason": f"{rebuild}: {'; '.join(stale.reasons)}",
        "by": getpass.getuser(),
        "followed": followed(now, datetime.now(UTC)),
        "fresh": stale.fresh,
    }


def finish_what_was_killed(service: str) -> None:
    """Its release promoted the patch and was killed before it had done everything: those who stand on it look for its tag."""
    stands, _ = standing_now(service)
    if stands.outcome is None and not stands.waiting:
        promote(service, stands.id, stands.to, stands.despite_burn)


def _run_elsewhere(request: dict[str, Any], key: str) -> str:
    """The same key gives the same run: whoever takes a rebuild up waits for the runs that it had begun. One that had ended
    without having done it is not asked again."""
    begun = _run(request, key, 0)
    if begun.state and begun.state.is_final():
        key = f"{key}:{begun.id}"
    done = _run(request, key, LONGEST_SECONDS)
    state = done.state
    if state is None or not state.is_final():
        return f"the run {done.name} has not ended in {LONGEST_SECONDS / 3600:g} h; it goes on"
    words = state.message or state.name
    return "" if state.is_completed() else f"the run {done.name} ended: {words}"


def _run(request: dict[str, Any], key: str, seconds: float) -> FlowRun:
    run = run_deployment(
        DEPLOYMENT,
        parameters={"request": ReleaseRequest(**request).model_dump(mode="json")},
        idempotency_key=key,
        timeout=seconds,
        poll_interval=POLL_SECONDS,
    )
    assert isinstance(run, FlowRun), "a task that is no coroutine is not answered by one"
    return run
