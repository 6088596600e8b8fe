"""What a run shows of itself in the Prefect UI. A convenience: a server that does not answer stops no rollout."""

import contextlib
import re
from collections.abc import Iterable
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run

from flows.labels import tags_with
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


def name_run(name: str, tags: Iterable[str] = ()) -> None:
    """Give the flow run a name that only became known while it ran, and tags beside those that it has (flows/labels.py). An empty
    name leaves the one that it has."""
    if (run := flow_run.id) is None:
        return
    with (
        contextlib.suppress(httpx.HTTPError, PrefectException),
        get_client(sync_client=True) as client,
    ):
        known = client.read_flow_run(UUID(run)).tags if tags else []
        found = tags_with(known, tags) if tags else None
        client.update_flow_run(UUID(run), name=name or None, tags=found)


def show_page(key: str, page: str, summary: str) -> None:
    """A page in Markdown on this run: the one of that key, written anew if it is there already."""
    key = key_of(key)
    if (there := _page(key)) is None:
        create_markdown_artifact(page, key, summary)
        return
    with get_client(sync_client=True) as client:
        client.update_artifact(there, ArtifactUpdate(data=page, description=summary))


def _page(key: str) -> UUID | None:
    if (run := flow_run.id) is None:
        return None
    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(run)]), key=ArtifactFilterKey(any_=[key])
    )
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted)
    return found[0].id if found else None


def key_of(words: str) -> str:
    """As Prefect wants the keys of artifacts."""
    return re.sub("[^a-z0-9-]+", "-", words.lower()).strip("-")


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
                made = create_progress_artifact(percent, key_of(self._where), words)
                self._artifact = made if isinstance(made, UUID) else None
            else:
                update_progress_artifact(self._artifact, percent, words)
