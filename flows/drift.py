"""Drift: look in all environments of all services for what somebody changed past us; report it, and replace it if told to."""

import contextlib
from contextlib import ExitStack
from typing import Any, Final, cast

import httpx
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import PrefectException
from prefect.futures import PrefectFuture
from prefect.runtime import deployment as this_deployment
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.chores import do_chores
from flows.drift_healing import heal_drift
from flows.drift_views import headline, markdown, place_words, tone
from flows.drifting import (
    EnvironmentDrift,
    look_from_outside,
    remember,
    reported,
    unseen,
)
from flows.labels import tags_of
from flows.progress import name_run
from flows.story import tell
from flows.tenure import tenure
from tasks import platforms
from tasks.errors import BakewellError, LeaseHeldError, NotFoundError
from tasks.journal.events import EVERY_SERVICE
from tasks.journal.rules import fold
from tasks.model import Environment

AT_ONCE: Final = 8
TASKS = cast(  # its type says that its futures are no futures
    TaskRunner[PrefectFuture[Any]], ThreadPoolTaskRunner[Any](max_workers=AT_ONCE)
)


@flow(flow_run_name="look for drift", task_runner=TASKS)
def drift(service: str = "", heal: bool = False) -> list[EnvironmentDrift]:
    """Look for drift in every environment, at the same time. Whatever fails in one keeps no other from being looked at.

    Args:
        service: Only this service. Empty: all.
        heal: Replace what has drifted, one instance at a time. Off: only report it.
    """
    with ExitStack() as stack:
        if this_deployment.id and not _is_first(stack):
            return []
        found = _look_everywhere(service, heal)
    _publish(found)
    return found


def _look_everywhere(service: str, heal: bool) -> list[EnvironmentDrift]:
    looking = [look_for_drift.submit(one, heal) for one in _places(service)]
    found = [one.result() for one in looking]
    for one in found:
        tell(place_words(one), tone(one), where=f"{one.service} {one.environment}")
    name_run(f"drift{f' of {service}' if service else ''}: {headline(found)}", tags_of(service))
    return found


def _is_first(stack: ExitStack) -> bool:
    """Scheduled looks do not pile up: one that finds another at work leaves it to that one. (Prefect's own limit of one run for
    a deployment stays taken for minutes after a worker died.) Chores are done first: not everybody has a keeper."""
    everywhere = tenure(platforms.journal(), EVERY_SERVICE, "drift", "look for drift")
    try:
        stack.enter_context(everywhere)
    except LeaseHeldError as error:
        name_run("drift: another look goes on")
        tell(str(error))
        return False
    for line in do_chores():
        tell(line)
    return True


@task(cache_policy=NO_CACHE, task_run_name="{environment.service} in {environment.name}")
def look_for_drift(environment: Environment, heal: bool) -> EnvironmentDrift:
    """Of one environment; "could not be looked at" is an answer."""
    try:
        if heal:
            return heal_drift(environment)
        found = look_from_outside(environment)
        remember(found)
        return reported(found)
    except BakewellError as error:
        return unseen(environment, error)


def _places(service: str) -> list[Environment]:
    states = fold(platforms.journal().events(service or None)).environments.values()
    if service and not states:
        raise NotFoundError(
            f"asked to look for drift of {service}, which was never rolled out; `bakewell status` lists what was"
        )
    return [state.environment for state in states]


def _publish(found: list[EnvironmentDrift]) -> None:
    """As the newest version of one artifact. The journal has what was found; this is for reading."""
    with contextlib.suppress(httpx.HTTPError, PrefectException):
        create_markdown_artifact(markdown(found), "drift", headline(found))
