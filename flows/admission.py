"""Admission: is this artifact's evidence complete, true and fresh enough to start it now? Asked before every start."""

from datetime import UTC, datetime, timedelta

from flows.quarantine import quarantined
from flows.story import Tone, tell
from tasks.admit.quarantine import ruling
from tasks.admit.rules import judge_admission
from tasks.errors import VerificationFailedError
from tasks.evidence import ScanNotDone
from tasks.model import Admission, Artifact, Decision
from tasks.scan.rules import is_fresh, judge_scan
from tasks.scan.scanning import scan
from tasks.service import ScanPolicy
from tasks.sign import evidence

NOT_DONE_COUNTS = timedelta(
    minutes=10
)  # within one release nobody asks again for what could not be had


def admit(artifact: Artifact, policy: ScanPolicy) -> Decision[Admission]:
    """By today's policy. A scan whose database has become too old is done again; signatures are verified each time.

    TransientError if its store does not answer: that is neither yes nor no.
    """
    if refused := ruling(quarantined(artifact)):
        return Decision(refused.answer, refused.reason)
    return judge_admission(evidence.check_signatures(artifact), _scan_decision(artifact, policy))


def _scan_decision(artifact: Artifact, policy: ScanPolicy) -> Decision[Admission]:
    now, known = datetime.now(UTC), evidence.known_scan(artifact)
    if isinstance(known, ScanNotDone) and now - known.at < NOT_DONE_COUNTS:
        return judge_scan(known, policy, now)
    if known is not None and not isinstance(known, ScanNotDone) and is_fresh(known, policy, now):
        return judge_scan(known, policy, now)
    tell("no fresh scan is known, so it is scanned again", Tone.WAIT, where=artifact.service)
    fresh = scan(artifact, policy)
    try:
        evidence.attest_scan(artifact, fresh.report, fresh.bill_of_materials)
    except VerificationFailedError as error:
        return Decision(Admission.REFUSE, str(error))
    return fresh.decision
