"""How a rebuild ends: what became of each service, told by the journal and the scans; and the summary in the Prefect UI."""

import contextlib
from dataclasses import replace
from typing import Any

import httpx
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.exceptions import PrefectException

from flows.policies import policy_of
from flows.progress import name_run
from flows.rebuild_state import RebuildState, rebuilds
from flows.rebuild_views import markdown
from flows.staleness import findings_of
from flows.standing import standing
from flows.story import tell
from tasks import platforms
from tasks.errors import BakewellError
from tasks.evidence import FindingKind
from tasks.journal.rebuilds import RebuildDone, RebuildFinished
from tasks.journal.rules import EVERY_SERVICE, ReleaseState, fold, record
from tasks.model import Artifact
from tasks.rebuild.outcome import counted, gone, outcome_of
from tasks.stale import Rebuilt, Stale


def ended(rebuild: str, stale: Stale, state: State[Any]) -> RebuildDone:
    """What became of one, whatever its run says: the digest that serves now decides."""
    error = _error(state)
    stands = standing(fold(platforms.journal().events(stale.service)), stale.service)
    now = stands.artifact.digest if stands else ""
    outcome, words = outcome_of(stale.digest, now, error)
    if stands is None or outcome is not Rebuilt.PATCHED:
        return RebuildDone(rebuild, outcome, words)
    return RebuildDone(rebuild, outcome, words, stands.id, _fixed(stands, stale.digest))


def finish(name: str) -> RebuildState:
    """Everything is done, or skipped."""
    journal = platforms.journal()
    state = next(one for one in rebuilds(journal.events()) if one.name == name)
    summary = counted(state.outcomes.values())
    record(journal, EVERY_SERVICE, "", "", RebuildFinished(name, summary))
    tell(summary, where=name)
    name_run(f"{name}: {summary}")
    with contextlib.suppress(httpx.HTTPError, PrefectException):
        create_markdown_artifact(markdown(state), "rebuild", f"{name}: {summary}")
    return replace(state, is_finished=True)


def _error(state: State[Any]) -> str:
    """A task that raised is a fault of ours, and keeps no other service from being rebuilt."""
    if state.is_completed():
        return str(state.result())
    return state.message or state.name or "it ended without saying why"


def _fixed(stands: ReleaseState, before: str) -> tuple[str, ...]:
    """Of what the newest scans of both know. Nothing is claimed to be gone where one of them could not be had."""
    policy = policy_of(stands.spec, stands.spec.environments[-1].name).policy
    old = Artifact(stands.service, before, stands.artifact.repository)
    with contextlib.suppress(BakewellError):
        (was, unseen), (now, unscanned) = (
            findings_of(one, policy) for one in (old, stands.artifact)
        )
        if not unseen and not unscanned:
            kind = FindingKind.VULNERABILITY
            return gone(
                (one.id for one in was if one.kind is kind),
                (one.id for one in now if one.kind is kind),
            )
    return ()
