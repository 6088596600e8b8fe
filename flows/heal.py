"""Heal: withdraw what a dead process left half done, and bring every fleet back to what the journal desires.

The same mechanism serves a failed rollout, a crash, and an instance that died: append what is now desired, then
converge. It needs the journal and the platform only, not Prefect.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from flows.admission import admit, ensure_admitted, refusal
from flows.policies import todays_policy
from flows.story import Tone, tell, teller
from flows.tenure import Tenure, tenure
from tasks import platforms
from tasks.adapters.prefect_server import LocalPrefectServer, mark_crashed
from tasks.errors import BakewellError, LeaseHeldError, NotAdmittedError
from tasks.journal.rules import EnvironmentState, Healed, WarmEnded, Withdrawn, desired, fold
from tasks.model import Admission, Artifact, Environment, FleetSpec, FleetStatus, Verdict
from tasks.policy import PolicyInForce
from tasks.ports import Fleet
from tasks.rollout.converge import converge
from tasks.rollout.rules import plan


def heal(service: str | None = None) -> Iterator[tuple[EnvironmentState, str]]:
    """Heal all environments (of one service): yields what was done to each, in a sentence."""
    journal = platforms.journal()
    for state in fold(journal.events(service)).environments.values():
        here = state.environment
        try:
            with tenure(journal, here.service, here.name, "heal") as held:
                yield state, heal_environment(held)
        except LeaseHeldError as error:
            yield state, f"left alone: {error}"


def heal_environment(held: Tenure, cured: tuple[str, ...] = ()) -> str:
    """Take over, end what is no longer warm, and settle. What was done, in a sentence. `cured`: see `Healed`."""
    taken_over = take_over(held)
    state = held.environment_state()
    if state is None:
        return "nothing was ever rolled out here"
    if (
        state.warm is not None
        and state.warm_until is not None
        and state.warm_until <= datetime.now(UTC)
    ):
        held.record(state.warm.release, WarmEnded())
    if not settle(held):
        return taken_over or "as it should be"
    done = taken_over or "instances, groups or weights had drifted and were replaced"
    held.record(state.stable.release if state.stable else "", Healed(done, cured))
    return done


@dataclass(frozen=True)
class Abandoned:
    """A rollout that was left unfinished by a process that is gone. `reason` is a sentence."""

    flow_run: str
    reason: str


def abandon(held: Tenure) -> Abandoned | None:
    """If there is one, its withdrawal is journalled. Users are moved by who settles; its run in Prefect can wait."""
    state = held.environment_state()
    if state is None or state.rollout is None:
        return None
    left = state.rollout
    reason = f"the process that rolled {left.release} out ended in step {left.step_index + 1} without finishing"
    held.record(left.release, Withdrawn(None, reason))
    tell(f"{reason}; its canary is withdrawn", Tone.WARN, where=_name(state.environment))
    return Abandoned(left.flow_run, reason)


def close_run(left: Abandoned) -> None:
    """Prefect may be slow to answer, or hang: first users, then this."""
    mark_crashed(left.flow_run, left.reason, LocalPrefectServer(platforms.home()).running())


def take_over(held: Tenure) -> str:
    """If a rollout was left unfinished by a process that is gone, withdraw it. What was found, or an empty string."""
    if (left := abandon(held)) is None:
        return ""
    close_run(left)
    return left.reason


def withdraw(held: Tenure, release: str, verdict: Verdict | None, reason: str) -> None:
    """Return traffic to stable and remove the candidate. The intent is journalled first; anyone may finish it."""
    state = held.environment_state()
    if state is None or state.rollout is None:
        return
    held.record(release, Withdrawn(verdict, reason))
    tell(f"{release} is withdrawn: {reason}", Tone.BAD, where=_name(state.environment))
    settle(held)
    stable = f"{state.stable.release} has all traffic again" if state.stable else "nothing serves"
    tell(stable, Tone.GOOD if state.stable else Tone.WARN, where=_name(state.environment))


def settle(held: Tenure) -> bool:
    """Bring the fleet to what the journal desires. True if anything had to be done.

    An artifact that is not admitted today starts no instance: what still runs of it is kept, loudly (invariant 9).
    """
    state = held.environment_state()
    if state is None:
        return False
    here = state.environment
    return bring_to(held, here, fleet_of(here), desired(state, datetime.now(UTC)))


def fleet_of(here: Environment) -> Fleet:
    """What its platform has to say is told."""
    return platforms.connect(here.platform, teller(f"{here.service} {here.name}")).fleet


def bring_to(held: Tenure, here: Environment, fleet: Fleet, spec: FleetSpec) -> bool:
    """The same with another spec, or a fleet seen in another way."""
    status = fleet.read(here)
    policy = partial(_policy, held)
    admitted = _admitted(spec, status, policy)
    spec = _without_starting(spec, status, admitted, here)
    if not plan(spec, status, admitted):
        return False
    converge(
        fleet,
        here,
        spec,
        held.token,
        admitted,
        before_start=lambda artifact: ensure_admitted(artifact, policy()),
    )
    return True


def _policy(held: Tenure) -> PolicyInForce:
    return todays_policy(held.state(), held.lease.service, held.lease.environment)


def _admitted(
    spec: FleetSpec, status: FleetStatus, policy: Callable[[], PolicyInForce]
) -> frozenset[str]:
    """Digests of the spec that may start today. Policy and evidence are read only where an instance is missing."""
    missing = {
        group.artifact for group in spec.groups if _ready(status, group.name) < group.replicas
    }
    running = {group.artifact.digest for group in spec.groups if group.artifact not in missing}
    return frozenset(
        running | {artifact.digest for artifact in missing if _may_start(artifact, policy)}
    )


def _may_start(artifact: Artifact, policy: Callable[[], PolicyInForce]) -> bool:
    """Whoever cannot tell starts nothing, and goes on: to bring traffic back to what runs needs no evidence."""
    try:
        ruling = admit(artifact, todays := policy())
    except BakewellError as error:
        reason = f"nobody could tell whether {artifact.short} may start, so it does not: {error}"
        tell(reason, Tone.BAD, where=artifact.service)
        return False
    if ruling.answer is Admission.REFUSE:
        tell(refusal(artifact, todays, ruling), Tone.BAD, where=artifact.service)
    return ruling.answer is Admission.ADMIT


def _without_starting(
    spec: FleetSpec, status: FleetStatus, admitted: frozenset[str], environment: Environment
) -> FleetSpec:
    """The spec, with groups that may not start cut down to the instances that still run."""
    groups = tuple(
        group
        if group.artifact.digest in admitted
        else replace(group, replicas=max(1, _ready(status, group.name)))
        for group in spec.groups
    )
    lost = [
        group
        for group in groups
        if group.artifact.digest not in admitted and not _ready(status, group.name)
    ]
    if any(group.weight for group in lost):
        raise NotAdmittedError(
            f"{environment.service} in {environment.name} should run {lost[0].artifact.digest}, which is not admitted"
            " today, and no instance of it is ready. Whatever is running was left as it is. Release a version that"
            f" is admitted, or see `bakewell verify {lost[0].artifact.reference}`."
        )
    kept = tuple(group for group in groups if group not in lost)
    return FleetSpec(kept)


def _ready(status: FleetStatus, name: str) -> int:
    found = status.group(name)
    return found.ready if found else 0


def _name(environment: Environment) -> str:
    return f"{environment.service} {environment.name}"
