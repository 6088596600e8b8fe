"""Suspended runs, from outside: who knocks on Prefect's door to wake one, or to read what somebody wrote into its form. Knows
nothing of Prefect but its API; the truth is in the journal, so a Prefect that does not answer loses nothing."""

import json
import os
from typing import Final

from flows.story import Tone, tell
from flows.tenure import Tenure
from tasks import platforms
from tasks.adapters.prefect_api import PrefectApi
from tasks.adapters.prefect_server import API_URL, LocalPrefectServer
from tasks.errors import BakewellError, TransientError
from tasks.journal.answers import answer_of
from tasks.journal.rules import Approved, record
from tasks.journal.waits import Rejected
from tasks.ports import Journal

FORM: Final = "form"
APPROVE: Final = "approve"
REJECT: Final = "reject"


def prefect() -> PrefectApi:
    """The server that $PREFECT_API_URL names, else this machine's own. TransientError if there is none."""
    api = os.environ.get(API_URL) or LocalPrefectServer(platforms.home()).running()
    if not api:
        raise TransientError(
            f"no Prefect server answers here and {API_URL} names none; `bakewell up` starts one"
        )
    return PrefectApi(api)


def pause_key(release: str, environment: str, number: int) -> str:
    """Of the `number`th start of a run. Prefect takes small letters, digits and dashes."""
    return f"{_key(release, environment)}{number}"


def _key(release: str, environment: str) -> str:
    """With its length, so that no environment's key begins like another's."""
    return f"{release}-{len(environment)}-{environment}-"


def read_form(journal: Journal, service: str, release: str, environment: str, run: str) -> None:
    """Journal what somebody answered in the form of a run, unless an answer stands there already. TransientError."""
    if not run or answer_of(journal.events(service), release, environment) is not None:
        return
    found = prefect().inputs(run, f"suspended-{_key(release, environment)}")
    answers = [json.loads(value) for key, value in found if key.endswith("-response")]
    if not answers or not isinstance(answers[-1], dict):
        return
    given = answers[-1]
    kind = Approved if given.get("decision") == APPROVE else Rejected
    said = kind(str(given.get("who")), str(given.get("why")), FORM)
    record(journal, service, environment, release, said)


def wake_run(run: str, said: Approved | Rejected | None = None) -> bool:
    """Let a suspended run go on; if it waits for an answer, with what was said. False: it does not wait (any more)."""
    if said is None:
        return prefect().resume(run)
    decision = APPROVE if isinstance(said, Approved) else REJECT
    return prefect().resume(run, {"decision": decision, "who": said.by, "why": said.reason})


def dismiss(run: str, reason: str) -> None:
    """Show a run that shall not go on as cancelled. For the eye: woken all the same, it finds its release ended."""
    if not run:
        return
    try:
        api = prefect()
        if not api.run(run).has_ended:
            api.set_state(run, "CANCELLED", "Cancelled", reason)
    except BakewellError as error:
        tell(f"run {run} could not be shown as cancelled ({reason}): {error}", Tone.WARN)


def take_from(held: Tenure, release: str, run: str) -> None:
    """Whichever run waited for this release before does so no longer: `run` does."""
    told = held.state().releases.get((held.lease.service, release))
    waited = told.waiting.wait.flow_run if told and told.waiting else ""
    if waited != run:
        dismiss(waited, f"another run takes {held.lease.service} {release} on")
