"""The report of a release in the Prefect UI: what changed, what vouches for it, what users saw, how to go back."""

import contextlib
import time
from datetime import UTC, datetime
from typing import Final

import httpx
from prefect.exceptions import PrefectException

from flows.chain import chain
from flows.inspecting import base_of
from flows.links import links
from flows.progress import show_page
from flows.report import EvidenceSummary, in_short, release_report
from flows.report_rollout import rollout_page
from flows.story import Tone, tell
from tasks import platforms
from tasks.admit.rules import judge_scan
from tasks.errors import BakewellError
from tasks.evidence import Kind, ScanNotDone, ScanReport
from tasks.journal.rules import ReleaseState, fold
from tasks.model import Judgement
from tasks.policy import Policy
from tasks.ports import Journal
from tasks.sign import evidence
from tasks.sign.rules import newest_scan

PAGE_SECONDS: Final = 5.0


def publish_report(journal: Journal, service: str, release: str) -> None:
    """As a Markdown artifact of this run. A report that cannot be stored stops nothing: the journal has it all."""
    events = journal.events(service)
    state = fold(events)
    told = state.releases[service, release]
    found = summary(told)
    page = release_report(state, events, service, release, found)
    _store(f"{service} {release}", page, in_short(state, events, service, release))


def _store(where: str, page: str, summary: str) -> None:
    try:
        show_page(where, page, summary)
    except (httpx.HTTPError, PrefectException) as error:
        tell(f"the report could not be stored: {error}", Tone.WARN, where=where)


class RolloutPage:
    """The page of one rollout on its own run, written anew while it goes on. It may take a twentieth of the time, no more."""

    def __init__(self, journal: Journal, service: str, release: str, environment: str) -> None:
        self._journal, self._service = journal, service
        self._release, self._environment = release, environment
        self._not_before = 0.0

    def show(self, now: Judgement | None = None) -> None:
        """As the journal has it; `now` is the judge's last look while it goes on. Not again at once."""
        begun = time.monotonic()
        if begun >= self._not_before:
            self.finish(now)
            spent = time.monotonic() - begun
            self._not_before = time.monotonic() + max(PAGE_SECONDS, 20 * spent)

    def finish(self, now: Judgement | None = None) -> None:
        """The same, whenever it was last shown. Whatever is wrong with a page, it stops no rollout."""
        where = f"{self._service} {self._release} {self._environment}"
        try:
            events = self._journal.events(self._service)
            told = fold(events).releases[self._service, self._release]
            page, words = rollout_page(told, events, self._environment, now)
            if page:
                show_page(where, page, words)
        except Exception as error:  # noqa: BLE001 - see above
            tell(f"its page could not be shown: {error}", Tone.WARN, where=where)


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
