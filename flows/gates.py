"""Gates: what must be true before a rollout takes its next step. Each answers with a judgement."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from flows.errand import Errand
from flows.progress import Progress
from flows.story import Tone, tell
from flows.tenure import Tenure
from tasks import platforms
from tasks.journal.rules import Sampled, VerdictGiven
from tasks.model import FleetStatus, Gate, Judgement, Reading, Sample, Step, Unseen, Verdict
from tasks.observe.actions import take_sample
from tasks.observe.counting import difference
from tasks.observe.rules import SloJudge
from tasks.rollout.actions import smoke_test
from tasks.rollout.rules import plan

Converged = Callable[[], FleetStatus]


def pass_gate(held: Tenure, errand: Errand, step: Step, converged: Converged) -> Judgement:
    """Wait until the step's gate has an answer other than KEEP_OBSERVING, and journal it.

    `converged` brings the fleet back to the step's spec, should anything have changed it.
    """
    match step.gate:
        case Gate.SMOKE:
            judgement = smoke_test(errand.environment, errand.release.id, errand.release.spec.smoke)
        case Gate.OBSERVE:
            judgement = _observe(held, errand, step, converged)
        case _:
            return Judgement(Verdict.PROMOTE, "all instances are ready")
    held.record(errand.release.id, VerdictGiven(judgement))
    tone = Tone.GOOD if judgement.verdict is Verdict.PROMOTE else Tone.BAD
    tell(
        f"{step.gate.value}: {judgement.verdict.value}: {judgement.reason}",
        tone,
        where=errand.where,
    )
    return judgement


def _observe(held: Tenure, errand: Errand, step: Step, converged: Converged) -> Judgement:
    """Sample, judge, and say so, until the judge has decided. The fleet is kept at the step's spec meanwhile."""
    release, settings = errand.release.id, errand.place.observe
    judge = SloJudge(errand.release.spec.objectives, settings)
    peers = tuple(
        group.name for group in step.spec.groups if group.name != release and group.weight
    )
    started_at, samples = datetime.now(UTC), list[Sample | Unseen]()
    fleet = platforms.connect(errand.environment.platform).fleet
    progress = Progress(f"{errand.where} {step.name}")
    last = take_sample(errand.environment)
    while True:
        time.sleep(settings.interval_seconds)
        if plan(step.spec, fleet.read(errand.environment), errand.admitted):
            converged()
        reading = take_sample(errand.environment)
        samples.append(_batch(last, reading))
        last = reading if isinstance(reading, Reading) else last
        held.record(release, Sampled(samples[-1]))
        judgement = judge.judge(samples, release, peers, started_at, datetime.now(UTC))
        progress.show(judgement, settings)
        if judgement.verdict is not Verdict.KEEP_OBSERVING:
            return judgement
        tell(judgement.reason, Tone.WAIT, where=errand.where)


def _batch(before: Reading | Unseen, after: Reading | Unseen) -> Sample | Unseen:
    if isinstance(after, Unseen):
        return after
    if isinstance(before, Unseen):
        return Unseen(after.at, "the first reading; a sample needs two")
    return difference(before, after)
