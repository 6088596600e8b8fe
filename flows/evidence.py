"""The report of a release in the Prefect UI: what changed, what vouches for it, what users saw, how to go back."""

import contextlib
from datetime import UTC, datetime

import httpx
from prefect.artifacts import create_markdown_artifact
from prefect.exceptions import PrefectException

from flows.chain import chain
from flows.inspecting import base_of
from flows.links import links
from flows.report import EvidenceSummary, release_report
from flows.story import Tone, tell
from tasks import platforms
from tasks.admit.rules import judge_scan
from tasks.errors import BakewellError
from tasks.evidence import Kind, ScanNotDone, ScanReport
from tasks.journal.rules import ReleaseState, fold
from tasks.policy import Policy
from tasks.ports import Journal
from tasks.sign import evidence
from tasks.sign.rules import newest_scan


def publish_report(journal: Journal, service: str, release: str) -> None:
    """As a Markdown artifact of this run. A report that cannot be stored stops nothing: the journal has it all."""
    events = journal.events(service)
    state = fold(events)
    told = state.releases[service, release]
    found = summary(told)
    text = release_report(state, events, service, release, found)
    try:
        create_markdown_artifact(text, f"{service}-{release}", f"{service} {release}")
    except (httpx.HTTPError, PrefectException) as error:
        where = f"{service} {release}"
        tell(f"the report could not be stored: {error}", Tone.WARN, where=where)


def summary(told: ReleaseState) -> EvidenceSummary | None:
    """What vouches for its artifact, read back and verified now; None if its store does not answer."""
    with contextlib.suppress(BakewellError):
        dossier = evidence.examine(told.artifact)
        scan = newest_scan(dossier.valid(Kind.SCAN), told.artifact.digest)
        policy = platforms.policy(told.spec.policy).policy
        found = chain(dossier, base_of(told.artifact))
        return EvidenceSummary(
            scanned=isinstance(scan, ScanReport),
            scan=_scan(scan, policy, told.service),
            links=links(found),
        )
    return None


def _scan(scan: ScanReport | ScanNotDone | None, policy: Policy, service: str) -> str:
    if scan is None:
        return "no scan that our scanner vouches for was found"
    words = judge_scan(scan, policy, service, datetime.now(UTC)).reason
    if isinstance(scan, ScanReport):
        return (
            f"{words} ({scan.scanner}, database of {scan.database_updated_at:%Y-%m-%d %H:%M} UTC)"
        )
    return words
