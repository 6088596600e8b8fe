"""Retirement: take a service out of its environments. Artifacts, evidence and the journal stay."""

from collections.abc import Iterator

from flows.story import teller
from flows.tenure import tenure
from tasks import platforms
from tasks.adapters.prefect_server import LocalPrefectServer
from tasks.errors import NotFoundError
from tasks.journal.rules import EnvironmentState, WentDown, fold


def take_down(service: str | None, environment: str | None, everything: bool) -> Iterator[str]:
    """Stop instances and splitter of the named environments (all, if `everything`); says what was stopped."""
    states = [
        state
        for state in fold(platforms.journal().events(service)).environments.values()
        if environment in (None, state.environment.name) and _is_up(state)
    ]
    if not states and not everything:
        raise NotFoundError(
            f"{service} {environment or ''} does not run anywhere; `bakewell status` lists what does"
        )
    for state in states:
        yield stop(state)
    if everything:
        stopped = LocalPrefectServer(platforms.home()).stop()
        yield (
            "the local Prefect server was stopped"
            if stopped
            else "no local Prefect server was running"
        )


def _is_up(state: EnvironmentState) -> bool:
    """Or half down: an earlier `down` may have been killed after its journal entry."""
    if not state.down:
        return True
    found = platforms.connect(state.environment.platform).fleet.read(state.environment)
    return bool(found.groups or found.endpoint)


def stop(state: EnvironmentState) -> str:
    """The intent is journalled first: a crash half-way is finished by the next `down`."""
    here = state.environment
    with tenure(platforms.journal(), here.service, here.name, "down") as held:
        held.record(state.stable.release if state.stable else "", WentDown())
        say = teller(f"{here.service} {here.name}")
        platforms.connect(here.platform, say).fleet.down(here, held.token)
    return f"{here.service} {here.name} is down"
