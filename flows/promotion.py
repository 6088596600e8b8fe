"""Promotion: a release goes on, through the environments that it has not reached yet, from what the journal says alone. What was
baked, scanned and signed once is neither baked again, nor is its folder needed: days may lie between two environments."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from prefect import flow
from prefect.runtime import flow_run as this_run

from flows.asking import approved
from flows.entry import may_enter
from flows.evidence import publish_report
from flows.labels import tags_of
from flows.planning import environments_until
from flows.progress import name_run
from flows.soaking import soaked
from flows.stopped import StoppedError
from flows.story import Tone, tell
from flows.suspended import dismiss, take_from
from flows.suspending import is_woken
from flows.tenure import Tenure, tenure
from flows.unchanged import Released
from flows.waves import is_stable, roll_out_wave
from tasks import platforms
from tasks.errors import InvalidInputError, NotFoundError
from tasks.journal.passage import newer_than, superseded
from tasks.journal.rules import ReleaseFinished, ReleaseStarted, ReleaseState, fold
from tasks.model import Verdict
from tasks.service import EnvironmentSpec
from tasks.sign.actions import tag_promoted


@flow(flow_run_name="promote {service} {release}", persist_result=False)
def promote(service: str, release: str, to: str = "", despite_burn: str = "") -> Released:
    """Carry a release that exists through its remaining environments.

    Args:
        service: Its name, as in its service.yaml.
        release: Its release, as bakewell history shows it: r7.
        to: Stop after this environment. Empty: all, in order.
        despite_burn: Why it must start even if the service burns its error budget: because it mends that. Empty: it must not.
    """
    return go_on(service, release, to, despite_burn)


def go_on(service: str, release: str, to: str, despite_burn: str) -> Released:
    """NotFoundError, InvalidInputError, and nothing was changed, if there is no such release, or if it would go back."""
    with tenure(platforms.journal(), service, "", f"promotion of {release}") as held:
        told = _known(held, release)
        if told.outcome is not None and is_woken() and told.flow_run == this_run.id:
            tell(f"ended meanwhile: {told.outcome}", Tone.WARN, where=f"{service} {release}")
            return Released(release, told.artifact.digest, told.outcome)
        places = environments_until(told.spec, to)
        _ensure_forward(held, told, places)
        name_run("", tags_of(service, places, told.source, told.lane.kind))
        if told.outcome is not None or told.flow_run != _run():
            known = (told.source, told.spec, told.artifact, told.reused_bake)
            started = ReleaseStarted(*known, lane=told.lane, folder=told.folder, bases=told.bases)
            take_up(held, release, started, to, despite_burn)
        return carry(held, release, places, despite_burn)


def taken_up_before() -> ReleaseState | None:
    """The release that this run has taken up before it was suspended."""
    if not is_woken():
        return None
    releases = fold(platforms.journal().events()).releases.values()
    return next((one for one in releases if one.flow_run == _run()), None)


def take_up(
    held: Tenure, release: str, started: ReleaseStarted, to: str, despite_burn: str
) -> None:
    """From now on this run does it. What it supersedes ends here, and whichever run waited for it waits no longer."""
    service, run = held.lease.service, _run()
    for older in superseded(held.state(), service, release):
        held.record(older.id, ReleaseFinished(f"superseded by {release}"))
        tell(f"is superseded by {release}", Tone.WARN, where=f"{service} {older.id}")
        if older.waiting:
            dismiss(older.waiting.wait.flow_run, f"{service} {older.id} is superseded by {release}")
    take_from(held, release, run)
    held.record(release, replace(started, flow_run=run, to=to, despite_burn=despite_burn))


def carry(held: Tenure, release: str, places: Sequence[str], despite_burn: str) -> Released:
    """Through `places`, wave by wave; each gate in front of each environment. StoppedError at the first that says no."""
    told = _known(held, release)
    with ending(held, release):
        for wave in told.spec.waves:
            going = [place for place in wave if place.name in places]
            if is_woken():  # what this run has promoted before it was suspended
                going = [place for place in going if not is_stable(held, told, place)]
            for place in going:
                enter(held, release, place)
            roll_out_wave(held, told, going, despite_burn)
        if places[-1] == told.spec.environments[-1].name:
            tag_promoted(told.artifact)
    return _finish(held, told, f"promoted in {', '.join(places)}")


def enter(held: Tenure, release: str, place: EnvironmentSpec) -> None:
    """Pass the gates in front of an environment, in this order. StoppedError."""
    told = _known(held, release)
    if is_stable(held, told, place):
        return
    for gate in (soaked, approved, may_enter):
        judgement = gate(held, told, place)
        if judgement.verdict is not Verdict.PROMOTE:
            raise StoppedError(f"{told.service} {release} in {place.name}", judgement)


@contextmanager
def ending(held: Tenure, release: str) -> Iterator[None]:
    """Whatever goes wrong ends the release, and the journal says so. To be suspended is not wrong."""
    try:
        yield
    except Exception as error:
        _finish(held, _known(held, release), f"stopped: {error}")
        raise


def _finish(held: Tenure, told: ReleaseState, outcome: str) -> Released:
    held.record(told.id, ReleaseFinished(outcome))
    publish_report(held.journal, told.service, told.id)
    return Released(told.id, told.artifact.digest, outcome)


def _known(held: Tenure, release: str) -> ReleaseState:
    service = held.lease.service
    told = held.state().releases.get((service, release))
    if told is None:
        raise NotFoundError(
            f"{service} has no release {release!r}; `bakewell history {service}` lists its releases"
        )
    return told


def _ensure_forward(held: Tenure, told: ReleaseState, places: Sequence[str]) -> None:
    going = [place for place in told.spec.environments if place.name in places]
    if found := newer_than(held.state(), told, going):
        place, newer = found
        raise InvalidInputError(
            f"asked to promote {told.service} {told.id}; {newer}, which is newer, serves in {place}: to go back is"
            f" `bakewell rollback {told.service} {place}`"
        )


def _run() -> str:
    return str(this_run.id or "")
