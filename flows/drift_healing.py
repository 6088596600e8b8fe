"""Heal drift: what differs is replaced, one instance at a time, each after a fresh one is ready. Nothing is repaired in place.

It includes what `bakewell status --heal` does. It goes back only from what is quarantined: that somebody has decided. What is
merely not admitted any more runs on, loudly: a new finding at night must not take a service back by itself.
"""

from dataclasses import dataclass, field, replace

from flows.admission import ensure_admitted
from flows.drifting import (
    EnvironmentDrift,
    Look,
    leave_to_people,
    look,
    look_from_outside,
    remember,
    reported,
)
from flows.evidence import publish_report
from flows.heal import heal_environment, settle
from flows.policies import todays_policy
from flows.replacing import replace_in
from flows.story import Tone, tell
from flows.tenure import Tenure, tenure
from flows.words import drift_words
from tasks import platforms
from tasks.errors import BakewellError
from tasks.inspection import Cure, Drift
from tasks.journal.rules import Healed
from tasks.model import EnsureGroup, Environment, Group, Health, ReplaceInstances, ShiftTraffic
from tasks.policy import PolicyInForce

QUARANTINE_WAIT_SECONDS = 30.0


@dataclass
class Done:
    """What was healed, and why the rest was not."""

    healed: list[Drift] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def heal_drift(environment: Environment) -> EnvironmentDrift:
    """LeaseHeldError if somebody is changing the environment; what could not be healed is in the words, and stands."""
    done = Done()
    first = look_from_outside(environment)
    remember(first)
    if first.remedy.go_back:
        _go_back(environment, first, done)
    with tenure(platforms.journal(), environment.service, environment.name, "drift") as held:
        found = _look(environment, held)
        remember(found, held.lease)
        leave_to_people(held, found.state, found.remedy.left)
        _converge(held, found, done)
        _replace_all(held, found, done)
        _reroute(held, found, done)
        after = _look(environment, held)
        remember(after, held.lease)
    return reported(after, "; ".join(dict.fromkeys(done.problems)), done.healed)


def _look(environment: Environment, held: Tenure) -> Look:
    return look(environment, held.journal.events(environment.service))


def _go_back(environment: Environment, found: Look, done: Done) -> None:
    for quarantine in dict.fromkeys(found.holding):
        try:
            replaced = replace_in(environment, quarantine, QUARANTINE_WAIT_SECONDS)
        except BakewellError as error:
            done.problems.append(str(error))
            continue
        if replaced.failed:
            done.problems.append(replaced.words)
            continue
        done.healed += [one for one in found.drift if one.cure is Cure.GO_BACK]
        if replaced.back_on:
            publish_report(platforms.journal(), environment.service, replaced.back_on)


def _converge(held: Tenure, found: Look, done: Done) -> None:
    """What the journal desires is brought about. Only if all that this could heal is left to people it is not, and even then
    an unfinished rollout is taken back (invariant 6)."""
    cured = [one for one in found.remedy.heals if one.cure is Cure.CONVERGE]
    stopped = any(one.drift.cure is Cure.CONVERGE for one in found.remedy.left)
    if stopped and not cured and not found.state.rollout:
        return
    try:
        heal_environment(held, tuple(dict.fromkeys(one.cause for one in cured)))
        done.healed += cured
    except BakewellError as error:
        _failed(held, error, done)


def _replace_all(held: Tenure, found: Look, done: Done) -> None:
    """One that fails ends it: the next would meet the same."""
    for name, instance in found.remedy.replace:
        cured = [
            one
            for one in found.remedy.heals
            if (one.group, one.instance, one.cure) == (name, instance, Cure.REPLACE)
        ]
        group = found.wanted.spec.group(name)
        assert group is not None, "only instances of wanted groups are replaced"
        try:
            _replace(held, group, instance)
        except BakewellError as error:
            return _failed(held, error, done)
        words = f"{instance} was replaced: {'; '.join(map(drift_words, cured))}"
        held.record(name, Healed(words, tuple(dict.fromkeys(one.cause for one in cured))))
        tell(words, Tone.GOOD, where=_where(held))
        done.healed += cured
    if found.remedy.replace:
        settle(held)


def _replace(held: Tenure, group: Group, instance: str) -> None:
    """A ready one more first, then this one goes: at no moment are there fewer than wanted."""
    environment = _environment(held)
    fleet = platforms.connect(environment.platform).fleet
    there = fleet.read(environment).group(group.name)
    leaving = [one for one in (there.instances if there else ()) if one.name == instance]
    if there is None or not leaving:
        return
    lost = sum(one.health is Health.READY for one in leaving)
    enough = replace(group, replicas=group.replicas + lost)
    if there.ready < enough.replicas:
        ensure_admitted(group.artifact, _policy(held))
        fleet.apply(environment, EnsureGroup(enough), held.token)
    fleet.apply(environment, ReplaceInstances(group, (instance,)), held.token)


def _reroute(held: Tenure, found: Look, done: Done) -> None:
    """The same weights again: the platform writes all of the splitter's configuration anew."""
    cured = [one for one in found.remedy.heals if one.cure is Cure.REROUTE]
    weights = {name: weight for name, weight in found.wanted.spec.weights.items() if weight}
    if not cured or not weights:
        return
    environment = _environment(held)
    fleet = platforms.connect(environment.platform).fleet
    try:
        fleet.apply(environment, ShiftTraffic(tuple(weights.items())), held.token)
    except BakewellError as error:
        return _failed(held, error, done)
    words = f"the splitter's configuration was written anew: {'; '.join(map(drift_words, cured))}"
    held.record(_release(found), Healed(words, tuple(one.cause for one in cured)))
    done.healed += cured


def _failed(held: Tenure, error: BakewellError, done: Done) -> None:
    tell(f"could not be healed: {error}", Tone.BAD, where=_where(held))
    done.problems.append(f"could not be healed: {error}")


def _environment(held: Tenure) -> Environment:
    state = held.environment_state()
    assert state is not None, "it was looked at"
    return state.environment


def _policy(held: Tenure) -> PolicyInForce:
    return todays_policy(held.state(), held.lease.service, held.lease.environment)


def _release(found: Look) -> str:
    return found.state.stable.release if found.state.stable else ""


def _where(held: Tenure) -> str:
    return f"{held.lease.service} {held.lease.environment}"
