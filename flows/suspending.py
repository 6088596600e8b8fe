"""Suspending: a run that waits ends its process. It is begun again from the top when it is woken, in any process."""

from typing import Literal

import httpx
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from flows.story import Tone, tell
from flows.suspended import pause_key

SLACK_SECONDS = 86400
"""Our own time-out is in the journal, and comes first: what Prefect ends by itself, it ends without a word."""
LONGEST_SECONDS = 366 * 86400


class Answer(RunInput):
    """May it enter?"""

    decision: Literal["approve", "reject"] = Field(
        title="Decision",
        description="approve: it goes on. reject: the release ends, and what serves goes on serving.",
        json_schema_extra={"position": 0},
    )
    who: str = Field(
        min_length=2,
        max_length=100,
        title="Who",
        description="Your name, as it shall stand in the journal.",
        json_schema_extra={"position": 1},
    )
    why: str = Field(
        min_length=2,
        max_length=2000,
        title="Why",
        description="One sentence for whoever reads it in a year.",
        json_schema_extra={"position": 2},
    )


def suspendable_run() -> str:
    """The id of this run if it can be suspended: it is one of a deployment, and nobody's subflow. Else empty."""
    run = _own_run()
    return str(run.id) if run else ""


def is_woken() -> bool:
    """Was this run suspended before? Its `run_count` does not tell: Prefect does not count those that it resumes."""
    run = _own_run()
    return bool(run and run.empirical_policy.pause_keys)


def _own_run() -> FlowRun | None:
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.deployment_id is None or run.parent_task_run_id is not None:
        return None
    return run


def suspend(release: str, environment: str, seconds: float | None, form: str) -> None:
    """End this process (by an exception that no `except Exception` sees) until somebody wakes the run, with an answer if there
    is a form: its text, in Markdown. Returns only if Prefect could not be told; then the caller has to wait here."""
    key = pause_key(release, environment)
    wanted = min(LONGEST_SECONDS, (seconds or LONGEST_SECONDS) + SLACK_SECONDS)
    try:
        if form:
            asked = Answer.with_initial_data(description=form)
            suspend_flow_run(wait_for_input=asked, timeout=int(wanted), key=key)
        else:
            suspend_flow_run(timeout=int(wanted), key=key)
    except (httpx.HTTPError, PrefectException, RuntimeError) as error:
        tell(f"the run could not be suspended ({error}); this process waits instead", Tone.WARN)
