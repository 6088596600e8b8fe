"""Replacing: whatever a quarantine holds goes back, everywhere, to the newest artifact that is admitted (invariant 9).

Done again it does only what is not done yet: the journal says first what should be there, and each environment is looked
at anew under its lease. Knows nothing of Prefect, as flows/going_back.py does: users wait.
"""

import getpass
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from flows.going_back import go_back
from flows.heal import abandon, close_run, settle
from flows.quarantine import held_by, known, where_it_runs
from flows.story import Tone, tell
from flows.tenure import Tenure, tenure
from tasks import platforms
from tasks.admit.quarantine import Certainty
from tasks.errors import BakewellError, LeaseHeldError
from tasks.evidence import Quarantine, QuarantineKind
from tasks.journal.rules import Deployed, EnvironmentState, WarmEnded
from tasks.model import Environment

TRY_AGAIN_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Replaced:
    """One environment: releases that served before and do now (empty: none), and a sentence. `failed`: it could not be done."""

    service: str
    environment: str
    was: str
    is_now: str
    words: str
    failed: bool = False

    @property
    def back_on(self) -> str:
        """The release that users were returned to; empty: none was needed, or possible."""
        return self.is_now.split()[0] if self.is_now != self.was and not self.failed else ""


def replace_all(kind: QuarantineKind, what: str, wait_seconds: float) -> list[Replaced]:
    """Roll every environment back in which something runs that a quarantine holds. `wait_seconds`: how long to wait, in each
    of them, for a rollout or somebody else who is changing it."""
    quarantines = [one for one in known() if (one.kind, one.what) == (kind, what)]
    return [done for one in quarantines for done in _everywhere(one, wait_seconds)]


def _everywhere(quarantine: Quarantine, wait_seconds: float) -> Iterator[Replaced]:
    """One that fails does not keep the others from being done."""
    for here in dict.fromkeys(one.environment for one in where_it_runs(quarantine).held):
        try:
            yield replace_in(here, quarantine, wait_seconds)
        except BakewellError as error:
            tell(str(error), Tone.BAD, where=f"{here.service} {here.name}")
            yield Replaced(here.service, here.name, "", "", str(error), failed=True)


def replace_in(here: Environment, quarantine: Quarantine, wait_seconds: float) -> Replaced:
    """A live rollout sees the quarantine of its candidate itself, withdraws it and gives the lease back."""
    with ExitStack() as stack:
        held = _when_free(stack, here, quarantine, wait_seconds)
        if (left := abandon(held)) is not None:
            stack.callback(close_run, left)  # once users are where they should be
        state = held.environment_state()
        assert state is not None, "something runs there"
        _end_warm(held, state, quarantine)
        if not _holds(quarantine, state.stable):
            settle(held)
            return _told(state, held, "withdrawn or ended; what serves is not held")
        return _go_back(held, state, quarantine)


def _go_back(held: Tenure, state: EnvironmentState, quarantine: Quarantine) -> Replaced:
    about = f"{quarantine.kind.value} {quarantine.what}"
    try:
        target = go_back(
            held,
            state,
            f"quarantine of the {about}: {quarantine.reason}",
            getpass.getuser(),
            quarantine=about,
        )
    except BakewellError as error:
        settle(held)
        where = f"{state.environment.service} {state.environment.name}"
        tell(f"is KEPT although it is quarantined: {error}", Tone.BAD, where=where)
        return _told(state, held, str(error), failed=True)
    return _told(state, held, f"rolled back to {target.release}")


def _told(before: EnvironmentState, held: Tenure, words: str, failed: bool = False) -> Replaced:
    here, after = before.environment, held.environment_state()
    was, is_now = before.stable, after.stable if after else None
    return Replaced(here.service, here.name, _named(was), _named(is_now), words, failed)


def _named(deployed: Deployed | None) -> str:
    return f"{deployed.release} ({deployed.artifact.short})" if deployed else ""


def _end_warm(held: Tenure, state: EnvironmentState, quarantine: Quarantine) -> None:
    """What is kept ready must not be what may not run."""
    if state.warm is not None and _holds(quarantine, state.warm):
        held.record(state.warm.release, WarmEnded())


def _holds(quarantine: Quarantine, deployed: Deployed | None) -> bool:
    """For certain: what nobody could tell of is not replaced for it."""
    found = held_by(deployed.artifact, [quarantine]) if deployed else ()
    return any(hit.certainty is Certainty.HELD for hit in found)


def _when_free(
    stack: ExitStack, here: Environment, quarantine: Quarantine, wait_seconds: float
) -> Tenure:
    """LeaseHeldError, naming the owner, if somebody still changes it after that time."""
    end, journal = time.monotonic() + wait_seconds, platforms.journal()
    told = False
    while True:
        try:
            what = f"quarantine of {quarantine.what}"
            return stack.enter_context(tenure(journal, here.service, here.name, what))
        except LeaseHeldError as error:
            if time.monotonic() > end:
                raise
            if not told:
                tell(f"waits: {error}", Tone.WAIT, where=f"{here.service} {here.name}")
            told = True
            time.sleep(TRY_AGAIN_SECONDS)
