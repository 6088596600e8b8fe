"""Release: bake, scan and sign a service once; then roll that one digest out, environment by environment, in order."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from prefect import flow
from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from flows.admission import refusal
from flows.bypassing import check_lane, lane_of
from flows.facts import bases_known_since
from flows.fetching import source_folder
from flows.labels import tags_of
from flows.planning import environments_until
from flows.policies import check_policies
from flows.progress import name_run
from flows.promotion import carry, ending, go_on, take_up, taken_up_before
from flows.standing import bases_in_force, on_tags
from flows.story import Tone, tell
from flows.tenure import Tenure, tenure
from flows.unchanged import Released, is_unchanged, nothing_to_do
from flows.vouching import attest_origin
from tasks import platforms
from tasks.adapters.checkout import Wanted
from tasks.adapters.git import source_of
from tasks.adapters.service_file import read_service
from tasks.admit.rules import judge_scan
from tasks.bake.actions import bake_artifact
from tasks.bake.bakery import Baked
from tasks.errors import NotAdmittedError
from tasks.evidence import Kind
from tasks.journal.rules import BakedBody, ReleaseStarted, continue_or_start
from tasks.lanes import Bypass, Lane, LaneKind
from tasks.model import Admission
from tasks.policy import PolicyInForce
from tasks.scan.actions import scan_artifact
from tasks.scan.scanning import remembering
from tasks.service import ServiceSpec
from tasks.sign import evidence
from tasks.sign.actions import attest_artifact, sign_artifact, tag_release
from tasks.sign.rules import newest_scan, scan_statements

Folder = Annotated[
    Path | None,
    BeforeValidator(lambda given: given or None),
    PlainSerializer(lambda folder: str(folder or ""), return_type=str),
    WithJsonSchema({"type": "string"}),
]
"""One field to write in: of a choice between a path and nothing Prefect's form makes two tabs, and hides the field."""


class ReleaseRequest(BaseModel, frozen=True):
    """What to release, and how far."""

    folder: Folder = Field(
        None,
        title="Folder",
        description="That holds service.yaml: an absolute path on the worker's machine. Empty for a commit of a repository, below.",
        json_schema_extra={"position": 0, "default": ""},
    )
    repository: str = Field(
        "",
        title="Repository",
        description="Instead of a folder: its name in the file of repositories.",
        json_schema_extra={"position": 1},
    )
    commit: str = Field(
        "",
        title="Commit",
        description="Of the repository: its full hash, 40 characters.",
        json_schema_extra={"position": 2},
    )
    branch: str = Field(
        "",
        title="Branch",
        description="That has the commit. Needed where a server does not give single commits.",
        json_schema_extra={"position": 3},
    )
    subfolder: str = Field(
        ".",
        title="Subfolder",
        description="Of the repository: the folder that holds service.yaml.",
        json_schema_extra={"position": 4},
    )
    to: str = Field(
        "",
        title="Last environment",
        description="Stop after this environment. Empty: all, in order.",
        json_schema_extra={"position": 5},
    )
    lane: LaneKind = Field(
        LaneKind.NORMAL,
        title="Lane",
        description="hotfix: users are hurt until it is there. What it goes past is a debt; evidence, smoke test and judge hold. patch: a rebuild.",
        json_schema_extra={"position": 6},
    )
    reason: str = Field(
        "",
        title="Reason",
        description="Why it is a hotfix. Shown with every debt.",
        json_schema_extra={"position": 7},
    )
    bypasses: tuple[Bypass, ...] = Field(
        (),
        title="Bypasses",
        description="Single gates that it goes past, and why. The policies say which may be.",
        json_schema_extra={"position": 8},
    )
    by: str = Field(
        "",
        title="By",
        description="Who answers for what it goes past. Empty: the user of the worker's process.",
        json_schema_extra={"position": 9},
    )
    despite_burn: str = Field(
        "",
        title="Despite a burnt error budget",
        description="Why it must start even if the service burns its error budget now: because it mends that. Empty: it must not.",
        json_schema_extra={"position": 10},
    )
    followed: dict[str, str] = Field(
        {},
        title="Followed bases",
        description="Filled in by rebuilds: reference of a base as service.yaml has it, and the digest to bake on instead.",
        json_schema_extra={"position": 11},
    )
    fresh: bool = Field(
        False,
        title="Fresh",
        description="Bake although these inputs were baked before: what a build fetches may be another now.",
        json_schema_extra={"position": 12},
    )

    @property
    def what(self) -> str:
        """For people."""
        if self.folder is not None:
            return self.folder.name
        place = self.repository if self.subfolder in (".", "") else self.subfolder
        return f"{place} {self.commit[:12]}"

    @property
    def chosen_lane(self) -> Lane:
        """InvalidInputError if something is to be gone past without a reason."""
        return lane_of(self.lane, self.reason, self.by, self.bypasses)


@flow(flow_run_name="release {request.what}")
def release(request: ReleaseRequest) -> Released:
    """Bake, scan and sign the service once, then roll that digest out to its environments in order.

    Args:
        request: What to release, and how far.
    """
    if again := taken_up_before():  # it is woken: neither baked again, nor is the folder needed
        name_run(run_name(again.service, again.id, request.to))  # Prefect has named it anew
        return go_on(again.service, again.id, request.to, request.despite_burn)
    wanted = Wanted(request.commit, request.branch, request.subfolder)
    with source_folder(request.folder, request.repository, wanted) as folder:
        return release_from(folder, request)


def run_name(service: str, release: str, to: str) -> str:
    return f"release {service} {release}{f' to {to}' if to else ''}"


def release_from(path: Path, request: ReleaseRequest) -> Released:
    """What is in the folder now."""
    spec, folder = read_service(path)
    places = environments_until(spec, request.to)
    policies = check_policies(spec, places)
    check_lane(request.chosen_lane, policies.values())
    with tenure(platforms.journal(), spec.service, "", "release") as held:
        baked = bake(held, spec, folder, request)
        if is_unchanged(held, spec, baked.artifact, places):
            return nothing_to_do(held, baked.artifact, places)
        name = start(held, spec, folder, baked, request)
        with ending(held, name):
            vouch(held, name, spec, baked, policies)
        return carry(held, name, places, request.despite_burn)


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


def start(
    held: Tenure, spec: ServiceSpec, folder: Path, baked: Baked, request: ReleaseRequest
) -> str:
    """Give the release its name, or take up the one that a dead process left unfinished."""
    found = continue_or_start(held.state(), spec.service, baked.artifact)
    source = source_of(folder)
    environments = environments_until(spec, request.to)
    name_run(
        run_name(spec.service, found.release, request.to),
        tags_of(spec.service, environments, source, request.chosen_lane.kind),
    )
    started = ReleaseStarted(
        *(source, spec, baked.artifact, baked.reused),
        lane=request.chosen_lane,
        folder=str(folder.absolute()) if request.folder else "",
        bases=baked.bases,
    )
    take_up(held, found.release, started, request.to, request.despite_burn)
    words = ("continues as" if found.resumed else "starts as", found.release, str(started.lane))
    tell(f"{' '.join(filter(None, words))} from {source}", where=spec.service)
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
