"""The start gate: a service that burns its error budget is not changed, unless somebody says why it must be.

What users met lately its Prometheus knows; one that does not answer is no calm service. Without one it is in the journal:
while a rollout or its watch looks. Between them nobody looks at an embedded splitter, so there the gate often knows nothing;
it says so, and goes on.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from flows.bypassing import goes_past
from flows.errand import Errand
from flows.stopped import StoppedError
from flows.story import Tone, tell
from flows.tenure import Tenure
from tasks.errors import MetricsUnreadableError
from tasks.journal.rules import EventKind, Sampled, body_of
from tasks.lanes import Barrier
from tasks.model import Decision, Judgement, Sample, Unseen, Verdict
from tasks.observe.actions import budget_spent
from tasks.observe.burn import LONGEST_PAGE, Spent, Start, may_start, spent_of, windows
from tasks.rollout.strategies import BASELINE_SUFFIX
from tasks.service import ErrorObjective

GATE = Barrier.START.value


def pass_start_gate(held: Tenure, errand: Errand, despite: str) -> None:
    """StoppedError, INCONCLUSIVE, if the service burns and nobody said why to go on. Nothing was changed then."""
    decision, here = _decide(held, errand), errand.environment.name
    match decision.answer:
        case Start.OPEN:
            tell(f"{GATE}: {decision.reason}", Tone.GOOD, where=errand.where)
        case Start.UNKNOWN:
            tell(f"{GATE}: could not be checked, {decision.reason}", where=errand.where)
        case _ if goes_past(held, errand.release, here, Barrier.START, decision.reason, despite):
            return
        case _:
            advice = "wait, roll back, or release what mends it with --despite-burn REASON"
            judgement = Judgement(Verdict.INCONCLUSIVE, f"{GATE}: {decision.reason}; {advice}")
            raise StoppedError(errand.where, judgement)


def _decide(held: Tenure, errand: Errand) -> Decision[Start]:
    errors, source = errand.release.spec.objectives.errors, errand.place.metrics
    if source is None:
        return may_start(_from_journal(held, errand, errors), errors)
    try:
        return may_start(budget_spent(errand.environment, source, windows(errors)), errors)
    except MetricsUnreadableError as error:
        return Decision(Start.UNREADABLE, f"it could not be checked: {error}")


def _from_journal(held: Tenure, errand: Errand, errors: ErrorObjective) -> dict[float, Spent]:
    """By what the stable artifact did: what a withdrawn canary broke is over."""
    now = datetime.now(UTC)
    samples = list(_recorded_since(now - timedelta(seconds=LONGEST_PAGE), held, errand))
    groups = {one.group for sample in samples for one in sample.instances}
    name = errand.stable.release if errand.stable else ""
    stable = {group for group in groups if group == name or group.endswith(BASELINE_SUFFIX)}
    return spent_of(samples, stable, now, errors)


def _recorded_since(begin: datetime, held: Tenure, errand: Errand) -> Iterator[Sample]:
    """Of this environment since its stable release was promoted, whatever release they were recorded for."""
    here, stable = errand.environment, errand.stable
    begin = max(begin, stable.since) if stable else begin
    for event in held.journal.events(here.service):
        if event.environment != here.name or event.kind != EventKind.SAMPLED or event.at < begin:
            continue
        body = body_of(event)
        if isinstance(body, Sampled) and not isinstance(body.sample, Unseen):
            yield body.sample
