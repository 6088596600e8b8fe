"""Errand: everything one rollout has to do, settled before it changes anything."""

from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.admission import admit, refusal
from flows.bypassing import goes_past, has_gone_past
from flows.heal import settle, take_over
from flows.patching import as_patched
from flows.planning import serving_group
from flows.policies import policy_of
from flows.stopped import StoppedError
from flows.story import Tone, tell
from flows.tenure import Tenure
from tasks.errors import InvalidInputError, NotAdmittedError
from tasks.evidence import Ruling
from tasks.journal.answers import answer_of
from tasks.journal.rules import Approved, Deployed, ReleaseState
from tasks.lanes import Barrier
from tasks.model import Admission, Artifact, Environment, Judgement, Step, Verdict
from tasks.policy import PolicyInForce
from tasks.retries import PATIENTLY
from tasks.rollout.strategies import steps
from tasks.service import AllAtOnce, Canary, EnvironmentSpec, Strategy
from tasks.sources import Sli


@dataclass(frozen=True)
class Errand:
    """What one rollout has to do. No steps: the artifact is stable here already, at most its replicas change."""

    release: ReleaseState
    place: EnvironmentSpec
    environment: Environment
    stable: Deployed | None
    steps: tuple[Step, ...]
    admitted: frozenset[str]
    policy: PolicyInForce

    @property
    def slis(self) -> tuple[Sli, ...]:
        """What the service wants to be judged by besides errors and latency."""
        return self.release.spec.slis_of(self.place)

    @property
    def where(self) -> str:
        return f"{self.environment.service} {self.release.id} in {self.environment.name}"


@task(cache_policy=NO_CACHE, task_run_name="admit {artifact.service} {artifact.short}", **PATIENTLY)
def admit_artifact(artifact: Artifact, policy: PolicyInForce) -> Ruling:
    """May it start today? (flows/admission.py)"""
    return admit(artifact, policy)


def prepare(held: Tenure, release: str, environment: str) -> Errand:
    """Take over what a dead process left, check the evidence and the approval, and choose the steps."""
    take_over(held)
    serves = _settled(held)
    told = held.state().releases.get((held.lease.service, release))
    place = told.spec.environment_spec(environment) if told else None
    if told is None or place is None:
        raise InvalidInputError(
            f"{held.lease.service} has no release {release!r} for an environment {environment!r};"
            f" `bakewell history {held.lease.service}` lists its releases"
        )
    here = told.spec.place(place)
    state = held.environment_state()
    stable = state.stable if state and serves else None
    policy = policy_of(told.spec, environment)
    place = as_patched(place, told.lane, policy.policy.rebuild)
    admitted = _admit(told, stable, policy)
    chosen = (
        ()
        if stable and stable.artifact.digest == told.artifact.digest
        else _steps(told, place, stable, admitted)
    )
    if chosen and place.needs_approval:
        _ensure_approved(held, told, place)
    if chosen:
        place = _hurried(held, told, place)
    return Errand(told, place, here, stable, chosen, admitted, policy)


def _settled(held: Tenure) -> bool:
    """Whether what should serve can. What is not admitted any more and has no instance left cannot: it must not keep out the
    release that mends it, which then begins as the first one does."""
    try:
        settle(held)
    except NotAdmittedError as error:
        where = f"{held.lease.service} {held.lease.environment}"
        tell(f"nobody is served: {error}", Tone.BAD, where=where)
        return False
    return True


def _admit(told: ReleaseState, stable: Deployed | None, policy: PolicyInForce) -> frozenset[str]:
    """Digests that may start during this rollout. The candidate must be among them."""
    ruling = admit_artifact(told.artifact, policy)
    if ruling.answer is Admission.REFUSE:
        raise NotAdmittedError(refusal(told.artifact, policy, ruling))
    admitted = {told.artifact.digest}
    if stable is not None and stable.artifact.digest not in admitted:
        again = admit_artifact(stable.artifact, policy)
        if again.answer is Admission.ADMIT:
            admitted.add(stable.artifact.digest)
        else:
            tell(
                f"stable {stable.release} is not admitted today ({again.reason}): no fresh baseline of it will be"
                " started, and no instance of it replaced",
                Tone.WARN,
                where=told.spec.service,
            )
    return frozenset(admitted)


def _ensure_approved(held: Tenure, told: ReleaseState, place: EnvironmentSpec) -> None:
    """The release has asked for it before it came here (flows/asking.py); a rollout alone asks nobody."""
    answer = answer_of(held.journal.events(told.service), told.id, place.name)
    if answer is None and has_gone_past(held, told.id, place.name, Barrier.APPROVAL):
        return
    if answer is None or not isinstance(answer.said, Approved):
        words = f"nobody approved it; `bakewell promote {told.service} {told.id}` asks for it"
        judgement = Judgement(Verdict.INCONCLUSIVE, str(answer.said) if answer else words)
        raise StoppedError(f"{told.spec.service} {told.id} in {place.name}", judgement)


def _hurried(held: Tenure, told: ReleaseState, place: EnvironmentSpec) -> EnvironmentSpec:
    """Past the barrier `observation` the judge need not wait for `minimum_seconds`. What it must have seen before it promotes,
    and what makes it roll back, stays as it is."""
    waits = not isinstance(place.strategy, AllAtOnce) and place.observe.minimum_seconds > 0
    found = f"each step is observed for at least {place.observe.minimum_seconds:g} s"
    if not waits or not goes_past(held, told, place.name, Barrier.OBSERVATION, found):
        return place
    return place.model_copy(update={"observe": place.observe.hurried})


def _steps(
    told: ReleaseState, place: EnvironmentSpec, stable: Deployed | None, admitted: frozenset[str]
) -> tuple[Step, ...]:
    strategy: Strategy = place.strategy
    if isinstance(strategy, Canary) and stable and stable.artifact.digest not in admitted:
        strategy = strategy.model_copy(update={"baseline": 0})
    serving = serving_group(stable)
    return steps(strategy, serving, told.artifact, told.id, place.replicas)
