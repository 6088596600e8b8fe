"""Vouching: what this machine says of an artifact beside it: where it comes from, how its smoke tests and rollouts ended.

The journal comes first. A statement says what a line of it says, and names that line; what a dead process has journalled
and not attested is attested by whoever comes next.
"""

import platform
import zlib
from datetime import timedelta
from importlib.metadata import version

from prefect.runtime import flow_run as this_run

from flows.outcomes import outcome
from flows.story import Tone, tell
from flows.tenure import Tenure
from tasks import platforms
from tasks.bake.bakery import Baked
from tasks.errors import BakewellError
from tasks.evidence import Kind, SmokeResult, SmokeTested
from tasks.journal.rules import ReleaseState
from tasks.model import Artifact, Judgement, Verdict
from tasks.ports import Event
from tasks.service import Smoke
from tasks.sign import evidence
from tasks.sign.actions import attest_artifact
from tasks.sign.provenance import Making, names_source, provenance
from tasks.sign.statements import read_verdict, smoke_statement, verdict_statement

RESULTS = {Verdict.PROMOTE: SmokeResult.PASSED, Verdict.ROLL_BACK: SmokeResult.FAILED}


def attest_origin(held: Tenure, release: ReleaseState, baked: Baked) -> None:
    """As builder: the source that the journal names, and everything that went in.

    The same bytes can come from two commits; both statements are true, and stay. What says the same already is left.
    """
    known = evidence.examine(baked.artifact).valid(Kind.PROVENANCE)
    if names_source(known, release.source):
        return
    making = Making(
        baked.started_at,
        baked.started_at + timedelta(seconds=baked.seconds),
        str(this_run.id or held.lease.owner),
        baked.content_key,
        baked.reused,
        builder_versions(),
    )
    said = provenance(release.spec, release.source, baked.materials, making)
    attest_artifact(baked.artifact, [said])


def builder_versions() -> tuple[tuple[str, str], ...]:
    """Of the builder, and of what decides which bytes come out of it."""
    return (
        ("bakewell", version("bakewell")),
        ("python", platform.python_version()),
        ("zlib", zlib.ZLIB_RUNTIME_VERSION),
    )


def attest_smoke(
    artifact: Artifact, environment: str, smoke: Smoke, judgement: Judgement, line: Event
) -> None:
    """As releaser. A test that found nobody to ask says nothing about the artifact, and is not attested.

    One that failed ends the rollout anyway: that it could not be attested must not hide why.
    """
    if (result := RESULTS.get(judgement.verdict)) is None:
        return
    tested = SmokeTested(
        environment, result, line.at, smoke.path, judgement.reason, line.release, line.hash
    )
    try:
        attest_artifact(artifact, [smoke_statement(tested, smoke)])
    except BakewellError as error:
        if result is SmokeResult.PASSED:
            raise
        _warn(f"{artifact.service} in {environment}", "the failed smoke test", error)


def attest_outcome(artifact: Artifact, release: str, environment: str) -> None:
    """As releaser: the verdict that ended the newest rollout of the release there, once. Nothing where there was none."""
    events = platforms.journal().events(artifact.service)
    given = outcome(events, artifact.service, release, environment)
    if given is None:
        return
    known = map(read_verdict, evidence.examine(artifact).valid(Kind.VERDICT))
    if any(one is not None and one.line == given.line for one in known):
        return
    attest_artifact(artifact, [verdict_statement(given)])
    tell(f"attested: {given.verdict.value}", where=f"{artifact.service} {release} in {environment}")


def attest_defeat(artifact: Artifact, release: str, environment: str) -> None:
    """The same after a rollout that has failed: what made it fail is told, even if this cannot be attested."""
    try:
        attest_outcome(artifact, release, environment)
    except BakewellError as error:
        _warn(f"{artifact.service} {release} in {environment}", "the verdict", error)


def _warn(where: str, what: str, error: BakewellError) -> None:
    tell(f"{what} could not be attested, the journal has it: {error}", Tone.WARN, where=where)
