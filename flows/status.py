"""Status: what runs where, what should, and what is in the way. Reads the journal and the platforms; no Prefect."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import repeat

from flows.line import line_stop
from flows.quarantine import in_force, problems_of
from flows.words import drift_words
from tasks import platforms
from tasks.errors import BakewellError
from tasks.evidence import Quarantine
from tasks.inspection import Cure
from tasks.journal.debts import Debt, debts
from tasks.journal.rules import EnvironmentState, ReleaseState, State, desired, fold
from tasks.journal.stops import Stop
from tasks.model import FleetSpec, FleetStatus, Lease


@dataclass(frozen=True)
class EnvironmentReport:
    """One environment: what the journal desires, what the platform shows, who is changing it, what is wrong, which release waits
    to enter it, and what was bypassed there. `stop`: that of the whole line, if it is stopped."""

    state: EnvironmentState
    desired: FleetSpec
    found: FleetStatus | None
    lease: Lease | None
    problems: tuple[str, ...]
    waiting: ReleaseState | None = None
    debts: tuple[Debt, ...] = ()
    stop: Stop | None = None


def statuses(service: str | None) -> list[EnvironmentReport]:
    """Of every environment that was ever rolled out to, or waited for; platforms are asked at the same time."""
    journal = platforms.journal()
    events = journal.events(service)
    known, owed, stop = fold(events), debts(events), line_stop()
    states = [*known.environments.values(), *_not_entered_yet(known)]
    leases = [journal.holder(state.environment.service, state.environment.name) for state in states]
    quarantines = in_force(datetime.now(UTC))
    with ThreadPoolExecutor(max_workers=8) as pool:
        reports = list(pool.map(_report, states, leases, repeat(quarantines)))
    waiting = {_place(one): one for one in known.releases.values() if one.waiting}
    return [
        replace(
            one,
            waiting=waiting.get(_key(one.state)),
            debts=tuple(debt for debt in owed if _owed(debt) == _key(one.state)),
            stop=stop,
        )
        for one in reports
    ]


def _key(state: EnvironmentState) -> tuple[str, str]:
    return state.environment.service, state.environment.name


def _owed(debt: Debt) -> tuple[str, str]:
    return debt.service, debt.environment


def _not_entered_yet(known: State) -> Iterator[EnvironmentState]:
    """Environments that nothing was ever rolled out to, and some release waits to enter."""
    for one in known.releases.values():
        here = one.spec.environment(one.waiting.environment) if one.waiting else None
        if here is not None and _place(one) not in known.environments:
            yield EnvironmentState(here)


def _place(waiting: ReleaseState) -> tuple[str, str]:
    return waiting.service, waiting.waiting.environment if waiting.waiting else ""


def healed(service: str | None) -> None:
    """Heal first, telling what was done."""
    from flows.heal import heal
    from flows.story import tell

    for state, done in heal(service):
        tell(done, where=f"{state.environment.service} {state.environment.name}")


def _report(
    state: EnvironmentState, lease: Lease | None, quarantines: tuple[Quarantine, ...]
) -> EnvironmentReport:
    wanted, held = desired(state, datetime.now(UTC)), tuple(problems_of(state, quarantines))
    try:
        found = platforms.connect(state.environment.platform).fleet.read(state.environment)
    except BakewellError as error:
        return EnvironmentReport(state, wanted, None, lease, (f"could not be read: {error}", *held))
    return EnvironmentReport(
        state, wanted, found, lease, (*held, *_problems(state, wanted, found, lease))
    )


def _problems(
    state: EnvironmentState, wanted: FleetSpec, found: FleetStatus, lease: Lease | None
) -> Iterator[str]:
    if state.rollout and lease is None:
        yield f"the rollout of {state.rollout.release} was left unfinished; `bakewell status --heal` takes it back"
    for group in wanted.groups:
        there = found.group(group.name)
        if there is None or there.ready < group.replicas:
            yield f"{group.name}: {there.ready if there else 0} of {group.replicas} instances are ready"
        if (there.weight if there else 0) != group.weight:
            yield f"{group.name}: gets {there.weight if there else 0} % of the traffic instead of {group.weight} %"
        if there is not None and there.artifact.digest != group.artifact.digest:
            yield f"{group.name}: runs {there.artifact.short} instead of {group.artifact.short}"
    yield from _drift(state, found)
    for there in found.groups:
        if wanted.group(there.name) is None:
            yield f"{there.name}: runs but should not ({there.ready} ready instances)"


def _drift(state: EnvironmentState, found: FleetStatus) -> Iterator[str]:
    """What the last look for drift found and neither spec nor status show, as far as it is still there."""
    names = {one.name for group in found.groups for one in group.instances}
    shown_anyway = (Cure.CONVERGE, Cure.GO_BACK)
    for one in state.drift:
        if one.cure not in shown_anyway and (not one.instance or one.instance in names):
            yield f"drift: {drift_words(one)}; {one.advice or '`bakewell drift --heal` replaces it'}"
