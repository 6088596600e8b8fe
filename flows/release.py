"""Release: bake, scan and sign a service once; then roll that one digest out, environment by environment, in order."""

from pathlib import Path

from prefect import flow
from pydantic import BaseModel, Field

from flows.evidence import publish_report
from flows.planning import environments_until
from flows.progress import name_run
from flows.rollout import rollout
from flows.story import Tone, tell
from flows.tenure import Tenure, tenure
from flows.unchanged import Released, is_unchanged, nothing_to_do
from tasks import platforms
from tasks.adapters.git import source_of
from tasks.adapters.service_file import read_service
from tasks.bake.actions import bake_artifact
from tasks.bake.bakery import Baked
from tasks.errors import NotAdmittedError
from tasks.journal.rules import BakedBody, ReleaseFinished, ReleaseStarted, continue_or_start
from tasks.model import Admission
from tasks.scan.actions import scan_artifact
from tasks.service import ServiceSpec
from tasks.sign.actions import attest_scan, sign_artifact, tag_release


class ReleaseRequest(BaseModel, frozen=True):
    """What to release, and how far."""

    folder: Path = Field(
        title="Folder",
        description="absolute path of the folder that holds service.yaml",
        json_schema_extra={"position": 0},
    )
    to: str = Field(
        "",
        title="Last environment",
        description="stop after this environment; empty = all, in order",
        json_schema_extra={"position": 1},
    )
    despite_burn: str = Field(
        "",
        title="Despite burn",
        description="why it must start even if the service burns its error budget (it mends that); empty = it must not",
        json_schema_extra={"position": 2},
    )


@flow(flow_run_name="release {request.folder.name}")
def release(request: ReleaseRequest) -> Released:
    """Bake, scan and sign the service once, then roll that digest out to its environments in order.

    Args:
        request: What to release, and how far.
    """
    spec, folder = read_service(request.folder)
    places = environments_until(spec, request.to)
    with tenure(platforms.journal(), spec.service, "", "release") as held:
        baked = bake(held, spec, folder)
        if is_unchanged(held, spec, baked.artifact, places):
            return nothing_to_do(held, baked.artifact, places)
        name = start(held, spec, folder, baked)
        try:
            vouch(held, name, spec, baked)
            for place in places:
                rollout(spec.service, name, place, request.despite_burn)
        except Exception as error:
            finish(held, name, baked, f"stopped: {error}")
            raise
        return finish(held, name, baked, f"promoted in {', '.join(places)}")


def bake(held: Tenure, spec: ServiceSpec, folder: Path) -> Baked:
    """The artifact of what is in the folder now. A new one is journalled with the source it came from."""
    baked = bake_artifact(str(folder), spec)
    if not baked.reused:
        held.record("", BakedBody(source_of(folder), baked.artifact, baked.reused))
    how = "inputs are known, reusing" if baked.reused else f"baked in {baked.seconds:.1f} s:"
    tell(f"{how} {baked.artifact.digest}", Tone.GOOD, where=spec.service)
    return baked


def start(held: Tenure, spec: ServiceSpec, folder: Path, baked: Baked) -> str:
    """Give the release its name, or take up the one that a dead process left unfinished."""
    found = continue_or_start(held.state(), spec.service, baked.artifact)
    source = source_of(folder)
    name_run(f"release {spec.service} {found.release}")
    held.record(found.release, ReleaseStarted(source, spec, baked.artifact, baked.reused))
    tell(
        f"{'continues' if found.resumed else 'starts'} as {found.release} from {source}",
        where=spec.service,
    )
    return found.release


def vouch(held: Tenure, name: str, spec: ServiceSpec, baked: Baked) -> None:
    """Scan, judge the scan, sign. NotAdmittedError stops the release before anything has started."""
    scanned = scan_artifact(baked.artifact, spec.scan)
    attest_scan(baked.artifact, scanned.report, scanned.bill_of_materials)
    decision = scanned.decision
    refused = decision.answer is Admission.REFUSE
    tell(
        f"scan: {decision.reason}",
        Tone.BAD if refused else Tone.GOOD,
        where=f"{spec.service} {name}",
    )
    if refused:
        raise NotAdmittedError(
            f"{spec.service} {name} ({baked.artifact.digest}) may not run: {decision.reason}"
        )
    sign_artifact(baked.artifact)
    tag_release(baked.artifact, name)
    tell(f"signed {baked.artifact.digest}", Tone.GOOD, where=f"{spec.service} {name}")


def finish(held: Tenure, name: str, baked: Baked, outcome: str) -> Released:
    held.record(name, ReleaseFinished(outcome))
    publish_report(held.journal, held.lease.service, name)
    return Released(name, baked.artifact.digest, outcome)
