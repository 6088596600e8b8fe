"""Rollout: bring one admitted artifact into one environment, step by step; promote it, or take it back."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from prefect import flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.runtime import flow_run as this_run

from flows.beside import Beside
from flows.converging import converge_fleet
from flows.entry import LineStoppedError, stop_if_line_stopped
from flows.errand import Errand, prepare
from flows.evidence import RolloutPage
from flows.gates import pass_gate
from flows.heal import heal_environment, settle, withdraw
from flows.labels import tags_of
from flows.observation import Observation
from flows.progress import name_run
from flows.starting import pass_start_gate
from flows.stopped import StoppedError
from flows.story import Tone, tell
from flows.tenure import Tenure, tenure, tenure_after_chores
from flows.vouching import attest_defeat, attest_outcome
from flows.watching import watch
from tasks import platforms
from tasks.errors import NotAdmittedError, NotReadyError, TransientError
from tasks.journal.rules import (
    Deployed,
    Promoted,
    RolloutStarted,
    Scaled,
    StepStarted,
    VerdictGiven,
)
from tasks.model import FleetStatus, Judgement, Step, Verdict


def heal_after_crash(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Prefect hook: an accelerator, never what correctness rests on. It may run in another process."""
    asked = flow_run.parameters
    with tenure(platforms.journal(), asked["service"], asked["environment"], "crash hook") as held:
        heal_environment(held)


DRAWING_SECONDS: Final = 30.0
"""So long what is only drawn may take once users are where they belong, before it is left."""


@flow(
    flow_run_name="roll {service} {release} out to {environment}",
    on_crashed=[heal_after_crash],
    on_cancellation=[heal_after_crash],
    persist_result=False,  # a release that is woken begins from the top: it must not be given an earlier rollout's result
)
def rollout(service: str, release: str, environment: str, despite_burn: str = "") -> Judgement:
    """Bring a release that was baked, scanned and signed into one environment.

    Args:
        service: Name of the service, as in its service.yaml.
        release: Its release, as `bakewell history` shows it (r7).
        environment: Name of the environment, as in service.yaml.
        despite_burn: Why it must start even if the service burns its error budget; empty: it must not.
    """
    with tenure_after_chores(
        platforms.journal(), service, environment, f"rollout of {release}"
    ) as held:
        errand = prepare(held, release, environment)
        label(errand)
        if not errand.steps:
            return scale(held, errand)
        if errand.stable:
            pass_start_gate(held, errand, despite_burn)
        beside = Beside()
        try:
            begin(held, errand)
            seen = Observation(held, errand, beside)
            seen.page.show()
            judgement = take_all(held, errand, seen)
        except BaseException as error:
            withdraw(held, release, *why(error))
            attest_defeat(errand.release.artifact, release, environment)
            if isinstance(error, Exception):  # who was told to stop has no time for pages
                beside.wait(DRAWING_SECONDS)
                RolloutPage(held.journal, service, release, environment).finish()
            raise
    try:
        attest_outcome(errand.release.artifact, release, environment)
        beside.wait(DRAWING_SECONDS)
        seen.page.finish()
    finally:  # whatever cannot be attested: what serves users is watched
        watch(errand, seen)
    return judgement


def label(errand: Errand) -> None:
    """So that people find it by what it is about. In a wave it has no run of its own."""
    told, here = errand.release, errand.environment
    if this_run.id != told.flow_run:
        name_run("", tags_of(here.service, [here.name], told.source, told.lane.kind))


def begin(held: Tenure, errand: Errand) -> None:
    started = RolloutStarted(
        errand.environment, errand.release.artifact, errand.place.replicas, str(this_run.id or "")
    )
    held.record(errand.release.id, started)


def take_all(held: Tenure, errand: Errand, seen: Observation) -> Judgement:
    """Every step, then the promotion. StoppedError, NotAdmittedError."""
    try:
        for index, step in enumerate(errand.steps):
            stop_if_told_to(held, errand, seen)
            take(held, errand, index, step, seen)
        stop_if_told_to(held, errand, seen)
    except NotAdmittedError:
        stop_if_quarantined(held, errand, seen)  # between two looks: it ends the same way
        raise
    return promote(held, errand)


def stop_if_told_to(held: Tenure, errand: Errand, seen: Observation) -> None:
    """StoppedError if somebody stopped the line, or quarantined what is rolled out."""
    stop_if_line_stopped(held, errand.release, errand.environment.name, errand.where)
    stop_if_quarantined(held, errand, seen)


def stop_if_quarantined(held: Tenure, errand: Errand, seen: Observation) -> None:
    """StoppedError. It was admitted when this began: hours ago, if somebody had to approve it."""
    if ended := seen.lookout.judgement():
        held.record(errand.release.id, VerdictGiven(ended))
        raise StoppedError(errand.where, ended)


def take(held: Tenure, errand: Errand, index: int, step: Step, seen: Observation) -> None:
    """Journal what is intended, bring it about, pass its gate. StoppedError if the gate says no."""
    release, where = errand.release.id, f"{errand.environment.service} {errand.environment.name}"
    held.record(release, StepStarted(index, step))
    tell(step.name, where=where)

    def converged() -> FleetStatus:
        return converge_fleet(
            errand.environment, step.spec, errand.admitted, errand.policy, held.token
        )

    try:
        converged()
    except NotReadyError as error:
        judgement = Judgement(Verdict.ROLL_BACK, str(error))
        held.record(release, VerdictGiven(judgement))
        raise StoppedError(errand.where, judgement) from error
    judgement = pass_gate(held, errand, step, seen, converged)
    if judgement.verdict is not Verdict.PROMOTE:
        raise StoppedError(errand.where, judgement)


def promote(held: Tenure, errand: Errand) -> Judgement:
    """The judged group is stable from now on; the one before stays warm, so that going back is a traffic change."""
    now, place = datetime.now(UTC), errand.place
    deployed = Deployed(errand.release.id, errand.release.artifact, place.replicas, now)
    warm = (
        now + timedelta(seconds=place.warm_seconds)
        if errand.stable and place.warm_seconds
        else None
    )
    held.record(errand.release.id, Promoted(deployed, warm))
    settle(held)
    kept = (
        f"; {errand.stable.release} stays warm for {place.warm_seconds:.0f} s"
        if errand.stable and warm
        else ""
    )
    tell(
        f"{errand.release.id} is promoted: 100 % of the traffic{kept}",
        Tone.GOOD,
        where=errand.where,
    )
    return Judgement(Verdict.PROMOTE, f"{errand.where} is stable")


def scale(held: Tenure, errand: Errand) -> Judgement:
    """The same artifact is stable here already: at most the number of its instances changes."""
    if errand.stable and errand.stable.replicas != errand.place.replicas:
        held.record(errand.stable.release, Scaled(errand.place.replicas))
        settle(held)
    if errand.stable:  # whoever promoted it may have died before it could attest that
        here = errand.environment.name
        attest_outcome(errand.stable.artifact, errand.stable.release, here)
    return Judgement(
        Verdict.PROMOTE,
        f"{errand.release.artifact.short} was stable in {errand.place.name} already",
    )


def why(error: BaseException) -> tuple[Verdict | None, str]:
    """Verdict and reason of a withdrawal. What the platform did never marks the artifact bad (invariant 7)."""
    match error:
        case LineStoppedError():
            return None, error.judgement.reason
        case StoppedError():
            return error.judgement.verdict, error.judgement.reason
        case TransientError():
            return Verdict.INCONCLUSIVE, f"the platform did not answer: {error}"
        case Exception():
            return None, f"{type(error).__name__}: {error}"
        case _:
            return None, f"the run was stopped ({type(error).__name__})"
