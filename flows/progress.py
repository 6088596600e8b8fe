"""What a run shows of itself in the Prefect UI. A convenience: a server that does not answer stops no rollout."""

import contextlib
import re
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run

from tasks.model import Judgement
from tasks.service import Observe


def share_seen(judgement: Judgement, settings: Observe) -> float:
    """How much of what is needed for a promotion has been seen, from 0 to 1: of the requests or of the time."""
    requests, seconds = (judgement.numbers.get(name) for name in ("requests", "seen_seconds"))
    if not isinstance(requests, int | float) or not isinstance(seconds, int | float):
        return 0.0
    of_requests = requests / settings.minimum_requests if settings.minimum_requests else 1.0
    of_time = seconds / settings.minimum_seconds if settings.minimum_seconds else 1.0
    return min(1.0, of_requests, of_time)


def name_run(name: str) -> None:
    """Give the flow run a name that only became known while it ran."""
    if (run := flow_run.id) is None:
        return
    with (
        contextlib.suppress(httpx.HTTPError, PrefectException),
        get_client(sync_client=True) as client,
    ):
        client.update_flow_run(UUID(run), name=name)


class Progress:
    """A bar with the judge's last words beside it. `where` names what is observed, in words."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._artifact: UUID | None = None

    def show(self, judgement: Judgement, settings: Observe) -> None:
        """Draw the bar anew; the first time it is made."""
        percent = 100 * share_seen(judgement, settings)
        words = f"{self._where}: {judgement.verdict.value}: {judgement.reason}"
        with contextlib.suppress(httpx.HTTPError, PrefectException):
            if self._artifact is None:
                key = re.sub("[^a-z0-9-]+", "-", self._where.lower()).strip("-")
                made = create_progress_artifact(percent, key, words)
                self._artifact = made if isinstance(made, UUID) else None
            else:
                update_progress_artifact(self._artifact, percent, words)
