"""Approval: the answer is a journal event, so command line, API and form are equal; the gate (flows/asking.py) reads the
journal. Knows nothing of Prefect."""

import getpass

from flows.story import Tone, tell
from flows.suspended import wake_run
from tasks import platforms
from tasks.errors import BakewellError, NotFoundError
from tasks.journal.rules import Approved, ReleaseState, fold, record
from tasks.journal.waits import Rejected, WaitKind


def approve(service: str, environment: str, reason: str, by: str = "") -> str:
    """Approve the newest unfinished release of the service for an environment. Its release id.

    `by` is a claim, journalled as such with the way it came: this machine's user where it is empty.
    """
    return _answer(service, environment, Approved(by or getpass.getuser(), reason, "command line"))


def reject(service: str, environment: str, reason: str, by: str = "") -> str:
    """Reject it: the release ends, and what serves goes on serving. Its release id."""
    return _answer(service, environment, Rejected(by or getpass.getuser(), reason, "command line"))


def _answer(service: str, environment: str, said: Approved | Rejected) -> str:
    """The journal has it first; whoever waits is woken, now or by the next chore (flows/waking.py)."""
    journal = platforms.journal()
    told = _unfinished(service, environment)
    record(journal, service, environment, told.id, said)
    waiting = told.waiting
    if waiting and waiting.wait.kind is WaitKind.APPROVAL and waiting.environment == environment:
        _wake(waiting.wait.flow_run, said)
    return told.id


def _unfinished(service: str, environment: str) -> ReleaseState:
    releases = fold(platforms.journal().events(service)).releases.values()
    unfinished = [release for release in releases if release.outcome is None]
    if not unfinished or unfinished[-1].spec.environment_spec(environment) is None:
        raise NotFoundError(
            f"no unfinished release of {service} wants to go to {environment}; see `bakewell history {service}`"
        )
    return unfinished[-1]


def _wake(run: str, said: Approved | Rejected) -> None:
    if not run:
        return
    try:
        wake_run(run, said)
    except BakewellError as error:
        tell(f"it is journalled; the run that waits will be woken later: {error}", Tone.WARN)
