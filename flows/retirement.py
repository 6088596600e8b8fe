"""Retirement: take a service out of its environments. Artifacts, evidence and the journal stay."""

import getpass
from collections.abc import Iterator

from flows.stopping import stop_installation
from flows.story import teller
from flows.tenure import tenure_after_chores
from tasks import platforms
from tasks.errors import BakewellError, NotFoundError, TransientError
from tasks.journal.rules import EnvironmentState, WentDown, fold


def take_down(
    service: str | None,
    environment: str | None,
    everything: bool,
    gently: bool = False,
    reason: str = "",
) -> Iterator[str]:
    """Stop instances and splitter of the named environments (all, if `everything`); says what was stopped.

    `everything` ends the installation first, so that nobody starts again what goes; `gently` lets its runs finish.

    One that cannot be stopped keeps no other from it. TransientError at the end if there was one, NotFoundError if nothing
    of that name runs.
    """
    if everything:
        yield from stop_installation(platforms.home(), gently)
    states = [
        state
        for state in fold(platforms.journal().events(service)).environments.values()
        if environment in (None, state.environment.name) and _may_be_up(state)
    ]
    if not states and not everything:
        raise NotFoundError(
            f"{service} {environment or ''} does not run anywhere; `bakewell status` lists what does"
        )
    left = []
    for state in states:
        try:
            yield stop(state, reason)
        except BakewellError as error:
            left.append(f"{state.environment.service} {state.environment.name}: {error}")
    if left:
        raise TransientError(
            f"asked to take {len(states)} environments down; {len(left)} may still run: {'; '.join(left)}"
        )


def _may_be_up(state: EnvironmentState) -> bool:
    """Or half down: an earlier `down` may have been killed after its journal entry. Who cannot be asked may be up."""
    if not state.down:
        return True
    try:
        found = platforms.connect(state.environment.platform).fleet.read(state.environment)
    except BakewellError:
        return True
    return bool(found.groups or found.endpoint)


def stop(state: EnvironmentState, reason: str = "") -> str:
    """The intent is journalled first: a crash half-way is finished by the next `down`."""
    here = state.environment
    with tenure_after_chores(platforms.journal(), here.service, here.name, "down") as held:
        went = WentDown(reason, getpass.getuser())
        held.record(state.stable.release if state.stable else "", went)
        say = teller(f"{here.service} {here.name}")
        platforms.connect(here.platform, say).fleet.down(here, held.token)
    return f"{here.service} {here.name} is down"
