"""The same version observed to the end of the soak, whatever it does: for judges that need longer than ours. No flow, no
verdict: the fleet is brought to the steps of the strategy by hand, and read."""

import time
from datetime import timedelta
from typing import Final

from flows.tenure import Tenure, tenure
from tasks import platforms
from tasks.model import Gate, Group, Reading, Role, Sample, Step, Verdict
from tasks.observe.scrapes import following
from tasks.rollout.converge import converge
from tasks.rollout.strategies import steps
from tests.benchmarks.live.recording import Phase, Recording
from tests.benchmarks.live.trial import Trial, artifact_of

NAME: Final = "r9"  # no release has this name


def observed(trial: Trial) -> Recording:
    """Under load, like the rollout; then the fleet is as it was."""
    phases, samples = list[Phase](), list[Sample]()
    with (
        trial.load(),
        tenure(platforms.journal(), trial.service, trial.here.name, "benchmark") as held,
    ):
        for step in _steps(trial):
            _bring(trial, held, step)
            if step.gate is Gate.OBSERVE:
                names = (one.name for one in step.spec.groups if one.weight)
                seen = _look(trial)
                begun = seen[0].at - timedelta(seconds=seen[0].seconds)
                peers = tuple(name for name in names if name != NAME)
                phases.append(Phase(step.name, begun, peers))
                samples += seen
        last = samples[-1]
        return Recording(
            trial.version.name,
            trial.rate,
            NAME,
            tuple(phases),
            tuple(samples),
            Verdict.KEEP_OBSERVING,
            "recorded without a judge",
            (last.at - phases[0].begun_at).total_seconds(),
        )


def _steps(trial: Trial) -> list[Step]:
    place = trial.spec.environments[-1]
    stable = Group("r1", artifact_of(trial.service, "r1"), place.replicas, 100, Role.STABLE)
    found = steps(place.strategy, stable, artifact_of(trial.service, "r2"), NAME, place.replicas)
    return [one for one in found if one.gate is not Gate.READY]


def _bring(trial: Trial, held: Tenure, step: Step) -> None:
    digests = frozenset(one.artifact.digest for one in step.spec.groups)
    converge(platforms.connect("process").fleet, trial.here, step.spec, held.token, digests)


def _look(trial: Trial) -> list[Sample]:
    settings = trial.spec.environments[-1].observe
    metrics = platforms.connect("process").metrics
    last: Reading = metrics.read(trial.here)
    samples, end = list[Sample](), time.monotonic() + settings.minimum_seconds
    while time.monotonic() < end:
        time.sleep(settings.interval_seconds)
        reading = metrics.read(trial.here)
        found = following(last, reading).sample
        assert isinstance(found, Sample)
        samples.append(found)
        last = reading
    return samples
