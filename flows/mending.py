"""Mending: what merely died - instances, the splitter - is there again without a person, as the journal wants it. A chore.

The machine was rebooted, the kernel wanted memory, somebody's kill was meant for another. Not mended is what somebody may have
meant (tasks/drift/mending.py says what that is), what was taken down, and what somebody is changing. A stopped line stops no
mending. `BAKEWELL_MENDING=off` does.
"""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from flows.drifting import leave_to_people, past_heals
from flows.heal import bring_to, fleet_of
from flows.statebook import state_of_today
from flows.story import Tone, tell
from flows.tenure import MENDING, Tenure, tenure
from flows.words import drift_words
from tasks import platforms
from tasks.drift.mending import losses, pause_seconds, spec_for_mending, status_for_mending
from tasks.drift.remedy import BREAKER, PastHeal, remedy
from tasks.drift.rules import is_served
from tasks.errors import BakewellError, InvalidInputError, LeaseHeldError, TransientError
from tasks.inspection import Drift
from tasks.journal.rules import DriftFound, EnvironmentState, EventKind, Healed, desired
from tasks.model import Action, Environment, FleetSpec, FleetStatus, GroupStatus
from tasks.ports import Fleet

VARIABLE: Final = "BAKEWELL_MENDING"
EVERY_SECONDS: Final = 10.0
LOOKING_SHARE: Final = 0.05
"""At most this share of one processor is spent on looking, however many fleets there are."""
AT_ONCE: Final = 8
"""A fleet whose instances hang takes seconds to read; the others need not wait for it."""


@dataclass
class Memory:
    """What this process may forget: when to look again, where it tried in vain, how often, when to try again, and who could not
    be looked at."""

    next_look: float = 0.0
    failures: dict[Environment, int] = field(default_factory=dict)
    next_try: dict[Environment, float] = field(default_factory=dict)
    unseen: set[Environment] = field(default_factory=set)

    def failed(self, here: Environment) -> float:
        """For how many seconds it is left alone now."""
        self.failures[here] = self.failures.get(here, 0) + 1
        return self.rest(here, self.failures[here])

    def rest(self, here: Environment, times: int) -> float:
        self.next_try[here] = time.monotonic() + (pause := pause_seconds(times))
        return pause


@dataclass(frozen=True)
class Casualty:
    """An environment that lost something. `served`: users are served all the same."""

    state: EnvironmentState
    lost: tuple[Drift, ...]
    served: bool

    @property
    def here(self) -> Environment:
        return self.state.environment


_MEMORIES: dict[str, Memory] = {}


def mend() -> Iterator[str]:
    """One environment after the other; first where users are not served. Says what was mended."""
    memory = memory_of_this_home()
    if not is_on() or time.monotonic() < memory.next_look:
        return
    begun = time.process_time()
    found = _casualties(memory)
    spent = time.process_time() - begun
    memory.next_look = time.monotonic() + max(EVERY_SECONDS, spent / LOOKING_SHARE)
    for one in found:
        yield from _mend(memory, one)


def memory_of_this_home() -> Memory:
    return _MEMORIES.setdefault(str(platforms.home()), Memory())


def is_on() -> bool:
    """InvalidInputError if $BAKEWELL_MENDING says neither `on` nor `off`."""
    said = os.environ.get(VARIABLE) or "on"
    if said not in ("on", "off"):
        raise InvalidInputError(f"${VARIABLE} is `on` or `off`, found {said!r}; nothing is mended")
    return said == "on"


# ---- looking -------------------------------------------------------------------------------------


def _casualties(memory: Memory) -> list[Casualty]:
    """That nobody holds. First those that nobody serves, and of these such as were not tried in vain."""
    journal = platforms.journal()
    due = [
        state
        for state in state_of_today(journal).environments.values()
        if _is_for_us(state) and memory.next_try.get(state.environment, 0.0) <= time.monotonic()
    ]
    with platforms.one_look(), ThreadPoolExecutor(AT_ONCE) as pool:
        looks = [pool.submit(copy_context().run, _look, state) for state in due]
        seen = [_seen(memory, *one) for one in zip(due, looks, strict=True)]
    found = [one for one in seen if one and journal.holder(one.here.service, one.here.name) is None]
    return sorted(found, key=lambda one: (one.served, memory.failures.get(one.here, 0)))


def _seen(
    memory: Memory, state: EnvironmentState, look: "Future[Casualty | None]"
) -> Casualty | None:
    """Who cannot be looked at is told once."""
    here = state.environment
    try:
        found = look.result()
    except BakewellError as error:
        if here not in memory.unseen:
            tell(f"could not be looked at: {error}", Tone.WARN, where=_name(here))
        memory.unseen.add(here)
        return None
    memory.unseen.discard(here)
    if found is None:
        memory.failures.pop(here, None)
    return found


def _is_for_us(state: EnvironmentState) -> bool:
    """A rollout that was left unfinished is reconciled first."""
    return state.stable is not None and state.rollout is None and not state.down


def _look(state: EnvironmentState) -> Casualty | None:
    status = fleet_of(state.environment).read(state.environment)
    spec = desired(state, datetime.now(UTC))
    lost = losses(spec, status)
    return Casualty(state, lost, is_served(spec, status)) if lost else None


# ---- mending -------------------------------------------------------------------------------------


def _mend(memory: Memory, seen: Casualty) -> Iterator[str]:
    here = seen.here
    try:
        with tenure(platforms.journal(), here.service, here.name, MENDING) as held:
            yield from _mend_held(memory, held)
    except LeaseHeldError:
        return  # whoever has it knows better
    except BakewellError as error:
        pause = memory.failed(here)
        words = f"what died could not be replaced: {error}; tried again in {pause:.0f} s"
        tell(words, Tone.BAD, where=_name(here))


def _mend_held(memory: Memory, held: Tenure) -> Iterator[str]:
    """Looked at again: what is true now counts. What is found stands in the journal before anything is done."""
    state = held.environment_state()
    if state is None or not _is_for_us(state) or (found := _look(state)) is None:
        return
    here, past = state.environment, _past(held)
    told = remedy(found.lost, past, datetime.now(UTC), found.served)
    leave_to_people(held, state, told.left)
    if not told.heals:
        return
    _remember(held, found)
    try:
        _start_what_died(held, state)
    except BakewellError as error:
        _remember(held, found, f"it could not be replaced: {error}")
        raise
    words = f"what died was replaced: {'; '.join(map(drift_words, told.heals))}"
    held.record(_release(state), Healed(words, tuple(one.cause for one in told.heals)))
    _remember(held, replace(found, lost=()))
    memory.failures.pop(here, None)
    if (times := _most(found.lost, past) + 1) >= BREAKER.times:
        memory.rest(here, times - BREAKER.times + 1)
    yield f"{_name(here)}: {words}"


def _start_what_died(held: Tenure, state: EnvironmentState) -> None:
    """And traffic as it should be, if nothing splits it. TransientError if something is missing still."""
    here, spec = state.environment, desired(state, datetime.now(UTC))
    fleet = fleet_of(here)
    spec = spec_for_mending(spec, fleet.read(here))
    bring_to(held, here, OnlyDeath(fleet, spec), spec)
    if left := losses(spec, fleet.read(here)):
        raise TransientError("; ".join(map(drift_words, left)))


@dataclass(frozen=True)
class OnlyDeath:
    """The fleet as a mender sees it: without what is none of its business. Fits ports.Fleet."""

    fleet: Fleet
    spec: FleetSpec

    def read(self, environment: Environment) -> FleetStatus:
        return status_for_mending(self.spec, self.fleet.read(environment))

    def apply(self, environment: Environment, action: Action, token: int) -> None:
        self.fleet.apply(environment, action, token)

    def down(self, environment: Environment, token: int) -> None:
        self.fleet.down(environment, token)


# ---- what the journal says -----------------------------------------------------------------------


def _past(held: Tenure) -> list[PastHeal]:
    lease = held.lease
    events = held.journal.events(lease.service, kinds=(EventKind.HEALED,))
    return list(past_heals(lease.environment, events))


def _most(lost: Sequence[Drift], past: Iterable[PastHeal]) -> int:
    """How often the one that dies most was mended lately."""
    since = datetime.now(UTC) - BREAKER.within
    lately = [cause for heal in past if heal.at > since for cause in heal.causes]
    return max(lately.count(one.cause) for one in lost)


def _remember(held: Tenure, found: Casualty, why_not: str = "") -> None:
    """What is lost now, beside what other looks found; `why_not` only the first time."""
    state = held.environment_state()
    assert state is not None, "it was looked at"
    before = {one.cause: one for one in state.drift}
    others = [one for one in state.drift if one.cause not in _ours(found.state)]
    lost = [replace(one, advice=why_not or _advice(before.get(one.cause))) for one in found.lost]
    is_new = {one.key for one in state.drift} != {one.key for one in (*others, *lost)}
    if is_new or any(one.advice and not _advice(before.get(one.cause)) for one in lost):
        held.record(_release(state), DriftFound((*others, *lost)))


def _ours(state: EnvironmentState) -> set[str]:
    """Causes of all that a mender could have found here."""
    spec = desired(state, datetime.now(UTC))
    gone = FleetStatus(tuple(GroupStatus(one.name, one.artifact, 0) for one in spec.groups))
    return {one.cause for one in losses(spec, gone)}


def _advice(drift: Drift | None) -> str:
    return drift.advice if drift else ""


def _release(state: EnvironmentState) -> str:
    return state.stable.release if state.stable else ""


def _name(here: Environment) -> str:
    return f"{here.service} {here.name}"
