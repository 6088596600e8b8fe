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
from tasks.journal.rules import EnvironmentState, desired, fold
from tasks.journal.stops import Stop
from tasks.model import FleetSpec, FleetStatus, Lease


@dataclass(frozen=True)
class EnvironmentReport:
    """One environment: what the journal desires, what the platform shows, who is changing it, what is wrong, what was bypassed.

    `stop`: that of the whole line, if it is stopped."""

    state: EnvironmentState
    desired: FleetSpec
    found: FleetStatus | None
    lease: Lease | None
    problems: tuple[str, ...]
    debts: tuple[Debt, ...] = ()
    stop: Stop | None = None


def statuses(service: str | None) -> list[EnvironmentReport]:
    """Of every environment that was ever rolled out to; platforms are asked at the same time."""
    journal = platforms.journal()
    events = journal.events(service)
    states, owed, stop = list(fold(events).environments.values()), debts(events), line_stop()
    leases = [journal.holder(state.environment.service, state.environment.name) for state in states]
    quarantines = in_force(datetime.now(UTC))
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = pool.map(_report, states, leases, repeat(quarantines))
        return [replace(one, debts=_of(one.state, owed), stop=stop) for one in found]


def _of(state: EnvironmentState, owed: tuple[Debt, ...]) -> tuple[Debt, ...]:
    here = state.environment
    return tuple(one for one in owed if (one.service, one.environment) == (here.service, here.name))


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
