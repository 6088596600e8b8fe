"""Release: bake, scan and sign a service once; then roll that one digest out, environment by environment, in order."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow
from pydantic import BaseModel, Field

from flows.admission import refusal
from flows.evidence import publish_report
from flows.facts import bases_known_since
from flows.planning import environments_until
from flows.policies import check_policies
from flows.progress import name_run
from flows.rollout import rollout
from flows.standing import bases_in_force, on_tags
from flows.story import Tone, tell
from flows.tenure import Tenure, tenure
from flows.unchanged import Released, is_unchanged, nothing_to_do
from flows.vouching import attest_origin
from tasks import platforms
from tasks.adapters.git import source_of
from tasks.adapters.service_file import read_service
from tasks.admit.rules import judge_scan
from tasks.bake.actions import bake_artifact
from tasks.bake.bakery import Baked
from tasks.errors import NotAdmittedError
from tasks.evidence import Kind
from tasks.journal.rules import BakedBody, ReleaseFinished, ReleaseStarted, continue_or_start
from tasks.lanes import Lane, LaneKind
from tasks.model import Admission
from tasks.policy import PolicyInForce
from tasks.scan.actions import scan_artifact
from tasks.scan.scanning import remembering
from tasks.service import ServiceSpec
from tasks.sign import evidence
from tasks.sign.actions import attest_artifact, sign_artifact, tag_promoted, tag_release
from tasks.sign.rules import newest_scan, scan_statements


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
    lane: LaneKind = Field(
        LaneKind.NORMAL,
        title="Lane",
        description="a rebuild is a patch",
        json_schema_extra={"position": 3},
    )
    reason: str = Field(
        "",
        title="Reason",
        description="why it is in that lane",
        json_schema_extra={"position": 4},
    )
    by: str = Field(
        "",
        title="By",
        description="who answers for it; empty = nobody in particular",
        json_schema_extra={"position": 5},
    )
    followed: dict[str, str] = Field(
        {},
        title="Followed bases",
        description="digest to bake on instead of the one that is written, by reference as it is written",
        json_schema_extra={"position": 6},
    )
    fresh: bool = Field(
        False,
        title="Fresh",
        description="bake although these inputs were baked before: what a build fetches may be another now",
        json_schema_extra={"position": 7},
    )


@flow(flow_run_name="release {request.folder.name}")
def release(request: ReleaseRequest) -> Released:
    """Bake, scan and sign the service once, then roll that digest out to its environments in order.

    Args:
        request: What to release, and how far.
    """
    spec, folder = read_service(request.folder)
    places = environments_until(spec, request.to)
    policies = check_policies(spec, places)
    with tenure(platforms.journal(), spec.service, "", "release") as held:
        baked = bake(held, spec, folder, request)
        if is_unchanged(held, spec, baked.artifact, places):
            return nothing_to_do(held, baked.artifact, places)
        name = start(held, spec, folder, baked, Lane(request.lane, request.reason, request.by))
        try:
            vouch(held, name, spec, baked, policies)
            for place in places:
                rollout(spec.service, name, place, request.despite_burn)
            if places[-1] == spec.environments[-1].name:
                tag_promoted(baked.artifact)
        except Exception as error:
            finish(held, name, baked, f"stopped: {error}")
            raise
        return finish(held, name, baked, f"promoted in {', '.join(places)}")


def bake(held: Tenure, spec: ServiceSpec, folder: Path, request: ReleaseRequest) -> Baked:
    """The artifact of what is in the folder now, on the bases that are followed. A new one is journalled with the source it
    came from, and so is a base that was never seen here: policies may let it wait."""
    followed = {**bases_in_force(held.state(), spec.service), **request.followed}
    baked = bake_artifact(str(folder), spec, followed, request.fresh)
    if moved := on_tags(baked.bases):
        tell(f"{moved}; service.yaml still names another", where=spec.service)
    known = bases_known_since()
    for number, base in enumerate(baked.materials.bases or ("",)):
        if (number == 0 and not baked.reused) or (base and base not in known):
            held.record("", BakedBody(source_of(folder), baked.artifact, baked.reused, base))
    how = "inputs are known, reusing" if baked.reused else f"baked in {baked.seconds:.1f} s:"
    tell(f"{how} {baked.artifact.digest}", Tone.GOOD, where=spec.service)
    return baked


def start(held: Tenure, spec: ServiceSpec, folder: Path, baked: Baked, lane: Lane) -> str:
    """Give the release its name, or take up the one that a dead process left unfinished."""
    found = continue_or_start(held.state(), spec.service, baked.artifact)
    source = source_of(folder)
    name_run(f"release {spec.service} {found.release}")
    started = ReleaseStarted(
        *(source, spec, baked.artifact, baked.reused), lane, str(folder.absolute()), baked.bases
    )
    held.record(found.release, started)
    tell(
        f"{'continues' if found.resumed else 'starts'} as {found.release} from {source}",
        where=spec.service,
    )
    return found.release


def vouch(
    held: Tenure, name: str, spec: ServiceSpec, baked: Baked, policies: Mapping[str, PolicyInForce]
) -> None:
    """Scan, judge the scan, sign and say where it comes from. NotAdmittedError stops the release before anything has started.

    What is refused has its scan beside it and nothing of the builder's: to some verifiers any statement by the builder's
    key is as good as a signature.
    """
    dossier = evidence.examine(baked.artifact)
    known = newest_scan(dossier.valid(Kind.SCAN), baked.artifact.digest)
    scanned = scan_artifact(baked.artifact)
    scanned = replace(scanned, report=remembering(scanned.report, known))
    attest_artifact(baked.artifact, scan_statements(scanned, dossier))
    where = f"{spec.service} {name}"
    if scanned.without_bills:
        tell(scanned.without_bills, Tone.WARN, where=where)
    for number, (place, policy) in enumerate(policies.items()):
        ruling = judge_scan(scanned.report, policy.policy, spec.service, datetime.now(UTC))
        refused = ruling.answer is Admission.REFUSE
        told = f"{place} will refuse it" if refused and number else "scan"
        if refused or not number:
            tell(f"{told}: {ruling.reason}", Tone.BAD if refused else Tone.GOOD, where=where)
        if refused and not number:
            raise NotAdmittedError(refusal(baked.artifact, policy, ruling))
    sign_artifact(baked.artifact)
    attest_origin(held, held.state().releases[spec.service, name], baked)
    tag_release(baked.artifact, name)
    tell(f"signed {baked.artifact.digest}", Tone.GOOD, where=where)


def finish(held: Tenure, name: str, baked: Baked, outcome: str) -> Released:
    held.record(name, ReleaseFinished(outcome))
    publish_report(held.journal, held.lease.service, name)
    return Released(name, baked.artifact.digest, outcome)
