"""The way of a release from environment to environment: what it must have shown in one before it enters the next. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from tasks.journal.rules import ReleaseState, State, release_number
from tasks.journal.waits import Wait, WaitKind
from tasks.model import Judgement, Verdict
from tasks.service import EnvironmentSpec


def soak(state: State, told: ReleaseState, environment: str, now: datetime) -> Wait | Judgement:
    """Has it been in use for long enough in all environments of the waves before this one? A wait until it has, or the judgement: PROMOTE,
    or INCONCLUSIVE if it does not serve there any more (rolled back meanwhile, or replaced)."""
    soaking = list[tuple[datetime, str]]()
    for place in told.spec.before(environment):
        here = state.environments.get((told.service, place.name))
        stable = here.stable if here else None
        if here is None or stable is None or stable.artifact.digest != told.artifact.digest:
            last = f" (there, last: {here.last_outcome})" if here and here.last_outcome else ""
            words = f"{told.id} does not serve in {place.name} any more{last}"
            return Judgement(Verdict.INCONCLUSIVE, words)
        end = stable.since + timedelta(seconds=place.soak_seconds)
        if end > now:
            soaking.append((end, place.name))
    if not soaking:
        return Judgement(Verdict.PROMOTE, "it has been in use for long enough where it is")
    until, name = max(soaking)
    return Wait(
        WaitKind.SOAK, f"it has to be in use in {name} until {until:%Y-%m-%d %H:%M:%S} UTC", until
    )


def superseded(state: State, service: str, by: str) -> Iterator[ReleaseState]:
    """Older releases that have not ended: who began the release `by` holds the lease of all of them, so that their processes
    are gone or they only wait. They go no further: what is newer goes in their place."""
    for one in state.releases.values():
        older = release_number(one.id) < release_number(by)
        if one.service == service and one.outcome is None and older:
            yield one


def newer_than(
    state: State, told: ReleaseState, places: Sequence[EnvironmentSpec]
) -> tuple[str, str] | None:
    """Where a newer release serves than the one that wants to go there, and which: to go on would go back."""
    for place in places:
        here = state.environments.get((told.service, place.name))
        stable = here.stable if here else None
        if stable is None or stable.artifact.digest == told.artifact.digest:
            continue
        if release_number(stable.release) > release_number(told.id):
            return place.name, stable.release
    return None
