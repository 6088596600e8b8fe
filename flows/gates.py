"""Gates: what must be true before a rollout takes its next step. Each answers with a judgement."""

from flows.errand import Errand
from flows.observation import Converged, Observation
from flows.story import Tone, tell
from flows.tenure import Tenure
from flows.vouching import attest_smoke
from tasks.journal.rules import VerdictGiven
from tasks.model import Gate, Judgement, Step, Verdict
from tasks.rollout.actions import smoke_test


def pass_gate(
    held: Tenure, errand: Errand, step: Step, seen: Observation, converged: Converged
) -> Judgement:
    """Wait until the step's gate has an answer other than KEEP_OBSERVING, and journal it.

    `converged` brings the fleet back to the step's spec, should anything have changed it.
    """
    match step.gate:
        case Gate.SMOKE:
            judgement = smoke_test(errand.environment, errand.release.id, errand.release.spec.smoke)
        case Gate.OBSERVE:
            judgement = seen.until_decided(step, converged)
        case _:
            return Judgement(Verdict.PROMOTE, "all instances are ready")
    line = held.record(errand.release.id, VerdictGiven(judgement))
    tone = Tone.GOOD if judgement.verdict is Verdict.PROMOTE else Tone.BAD
    words = f"{step.gate.value}: {judgement.verdict.value}: {judgement.reason}"
    tell(words, tone, where=errand.where)
    if step.gate is Gate.SMOKE:
        told = errand.release
        attest_smoke(told.artifact, errand.environment.name, told.spec.smoke, judgement, line)
    return judgement
