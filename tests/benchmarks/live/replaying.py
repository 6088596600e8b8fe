"""Judges look at a recording, sample by sample, as if it happened now. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tasks.model import Sample, Unseen, Verdict
from tasks.observe.counting import surely_above, totals
from tasks.observe.peers import PeerJudge
from tasks.observe.regression import RegressionJudge
from tasks.observe.rules import Judge
from tasks.service import ServiceSpec
from tests.benchmarks.live.recording import Phase, Recording

TOO_SLOW_MS = 300.0
Judging = Callable[[Recording, Phase], Judge]


@dataclass(frozen=True)
class Outcome:
    """The verdict, after how many seconds, and how many requests the canary had failed or answered too slowly until
    then. `verdict` is KEEP_OBSERVING where the recording ended first."""

    verdict: Verdict
    reason: str
    seconds: float
    harmed: int


def ours(recording: Recording, spec: ServiceSpec) -> Outcome:
    """The judges of the product, with their settings: the rollout's, then that of the watch."""
    place = spec.environments[-1]
    rollout = PeerJudge(spec.objectives, place.observe)
    watch = RegressionJudge(spec.objectives, place.observe)
    return replayed(recording, lambda _, phase: watch if phase.watch else rollout)


def rival(recording: Recording, judge: Judge) -> Outcome:
    """Somebody else's: one analysis from the first step to the last, no watch."""
    steps = [one for one in recording.phases if not one.watch]
    end = next((one.begun_at for one in recording.phases if one.watch), None)
    samples = [one for one in recording.samples if end is None or one.at <= end]
    peers = steps[0].peers
    for count, sample in enumerate(samples, start=1):
        found = judge.judge(samples[:count], recording.canary, peers, recording.begun_at, sample.at)
        if found.verdict is not Verdict.KEEP_OBSERVING:
            return _outcome(recording, samples[:count], found.verdict, found.reason)
    return _outcome(recording, samples, Verdict.KEEP_OBSERVING, "the recording ended")


def replayed(recording: Recording, judging: Judging) -> Outcome:
    """Phase by phase: a promotion ends a step, and that of the last step the rollout; then comes the watch."""
    promoted: list[Phase] = []
    verdict, reason, last = Verdict.KEEP_OBSERVING, "the recording ended", recording.samples
    for count, sample in enumerate(recording.samples, start=1):
        phase = recording.phase_at(sample.at)
        if phase in promoted:
            continue
        seen: Sequence[Sample | Unseen] = recording.samples[:count]
        judge = judging(recording, phase)
        found = judge.judge(seen, recording.canary, phase.peers, phase.begun_at, sample.at)
        if found.verdict is Verdict.PROMOTE:
            promoted.append(phase)
            verdict, reason, last = found.verdict, found.reason, recording.samples[:count]
        elif found.verdict is not Verdict.KEEP_OBSERVING:
            return _outcome(recording, recording.samples[:count], found.verdict, found.reason)
    steps = [one for one in recording.phases if not one.watch]
    if any(one not in promoted for one in steps):
        verdict, reason, last = Verdict.KEEP_OBSERVING, "the recording ended", recording.samples
    return _outcome(recording, last, verdict, reason)


def _outcome(
    recording: Recording, seen: Sequence[Sample], verdict: Verdict, reason: str
) -> Outcome:
    after = recording.after(seen[-1].at)
    return Outcome(verdict, reason, after, harmed(seen, recording.canary))


def harmed(samples: Sequence[Sample], canary: str) -> int:
    """Requests that the canary failed, or answered too slowly."""
    found = totals(samples, {canary})
    return found.failures + surely_above(found.latency, TOO_SLOW_MS)
