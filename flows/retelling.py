"""Retelling: the configured judge looks again at what the journal recorded of a rollout, sample by sample. Pure.

The verdict follows from the samples alone, so anybody can repeat it; and a judge with other settings can be tried on them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from flows.course import Course, Taken
from tasks.errors import NotFoundError
from tasks.model import InstanceTraffic, Judgement, Sample, Unseen, Verdict
from tasks.observe.betting import dispersion
from tasks.observe.merging import Window
from tasks.observe.peers import PeerJudge
from tasks.service import AllAtOnce, Observe, ServiceSpec

PLACEBO = "placebo"
OTHERS = "others"


@dataclass(frozen=True)
class Look:
    """One look of the judge, so many seconds after the rollout began."""

    seconds: float
    step: str
    judgement: Judgement


def looks(course: Course, spec: ServiceSpec, settings: Observe | None = None) -> tuple[Look, ...]:
    """Every look at this rollout. `settings`: other ones than its own, to see what they would have done."""
    place = spec.environment_spec(course.environment.name)
    told = place.observe if place else Observe()
    chosen = settings or (told.hurried if course.hurried else told)
    slis = spec.slis_of(place) if place else ()
    judge = PeerJudge(spec.objectives, chosen, places_of(spec), _burst(course), slis)
    found, began = [], dict[datetime, datetime]()
    for count, sample in enumerate(course.samples, start=1):
        if (taken := _step_at(course, sample.at)) is None:
            continue
        begun = began.setdefault(taken.at, _begun(sample))
        groups = [one.name for one in taken.step.spec.groups if one.weight]
        peers = tuple(name for name in groups if name != course.release)
        shown = (*course.earlier, *course.samples[:count])
        judgement = judge.judge(shown, course.release, peers, begun, sample.at)
        after = (sample.at - course.started_at).total_seconds()
        found.append(Look(after, taken.step.name, judgement))
    return tuple(found)


def _begun(first: Sample | Unseen) -> datetime:
    """When the first reading of a step was taken, by its first sample: soak and deadline count from there."""
    return first.at - timedelta(seconds=first.seconds if isinstance(first, Sample) else 0.0)


def looks_at(course: Course, canary: str, spec: ServiceSpec) -> tuple[Look, ...]:
    """As if `canary`, a group or an instance, had been the canary of all that time, and everybody else its peers.

    NotFoundError if it was not seen, or nobody else was.
    """
    found = {(one.group, one.instance) for sample in course.seen for one in sample.instances}
    mine = {one for one in found if canary in one}
    if not mine or mine == found:
        raise NotFoundError(
            f"asked to judge {canary!r} among its peers; seen were {', '.join(sorted(name for _, name in found)) or 'nobody'};"
            " name a group or an instance, beside which there is another"
        )
    place = spec.environment_spec(course.environment.name)
    judge = PeerJudge(
        spec.objectives, place.observe if place else Observe(), places_of(spec), slis=spec.slis
    )
    cast = [_cast(one, canary) if isinstance(one, Sample) else one for one in course.samples]
    looks = []
    for count, sample in enumerate(cast, start=1):
        judgement = judge.judge(cast[:count], PLACEBO, (OTHERS,), course.started_at, sample.at)
        after = (sample.at - course.started_at).total_seconds()
        looks.append(Look(after, f"{canary} among its peers", judgement))
    return tuple(looks)


def places_of(spec: ServiceSpec) -> int:
    """In how many environments a release is judged: they share one budget of false alarms."""
    return sum(not isinstance(one.strategy, AllAtOnce) for one in spec.environments)


def _burst(course: Course) -> float | None:
    """What the judge believed then, if it said so."""
    for judged in reversed(course.verdicts):
        if isinstance(found := judged.judgement.numbers.get("burst"), int | float):
            return float(found)
    return None


def _step_at(course: Course, at: datetime) -> Taken | None:
    """A sample that ended as a step began is the last of the step before: so the judge sees it, too."""
    begun = [taken for taken in course.steps if taken.at < at]
    return begun[-1] if begun else None


# ---- placebo -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Placebo:
    """How often an instance of the stable artifact, playing the canary, would have been rolled back. `burst`: errors that
    came at a time."""

    runs: int
    false_alarms: int
    batches: int
    burst: float


def placebo(recorded: Sequence[Course], spec: ServiceSpec, settings: Observe) -> Placebo:
    """Over everything that was recorded of these rollouts; canaries are left out: something may have been wrong with them."""
    runs = alarms = batches = 0
    bad, total = list[float](), list[float]()
    for course in recorded:
        samples = [_without(one, course.release) for one in course.seen]
        found = _dispersion(samples, settings.batch_seconds)
        batches += found[1]
        bad, total = [*bad, found[0] * found[2]], [*total, found[2]]
        for name in _instances(samples):
            runs += 1
            alarms += _cries(samples, name, spec, settings)
    weight = sum(total)
    return Placebo(runs, alarms, batches, max(1.0, sum(bad) / weight) if weight else 1.0)


def _without(sample: Sample, release: str) -> Sample:
    kept = tuple(one for one in sample.instances if one.group != release)
    return replace(sample, instances=kept)


def _instances(samples: Sequence[Sample]) -> list[str]:
    return sorted({one.instance for sample in samples for one in sample.instances})


def _cries(samples: Sequence[Sample], name: str, spec: ServiceSpec, settings: Observe) -> bool:
    """Does the judge ever want it rolled back? It is never promoted, so that all of it is looked at."""
    endless = settings.model_copy(update={"minimum_seconds": 1e9, "deadline_seconds": 1e9})
    judge, cast = (
        PeerJudge(spec.objectives, endless, slis=spec.slis),
        [_cast(one, name) for one in samples],
    )
    for count, sample in enumerate(cast, start=1):
        found = judge.judge(cast[:count], PLACEBO, (OTHERS,), samples[0].at, sample.at)
        if found.verdict is Verdict.ROLL_BACK:
            return True
    return False


def _cast(sample: Sample, name: str) -> Sample:
    """`name` is a group's or an instance's."""

    def group(one: InstanceTraffic) -> str:
        return PLACEBO if name in (one.group, one.instance) else OTHERS

    return replace(
        sample, instances=tuple(replace(one, group=group(one)) for one in sample.instances)
    )


def _dispersion(samples: Sequence[Sample], seconds: float) -> tuple[float, int, float]:
    """Errors that come at a time, over how many batches, and how many errors there were."""
    window, names = Window(seconds), _instances(samples)
    merged = [batch for sample in samples for batch in window.add(sample)]
    if not merged or len(names) < 2:
        return 1.0, len(merged), 0.0
    bad, total = (np.array([list(_row(one, names, what)) for one in merged]) for what in (0, 1))
    return dispersion(bad, total), len(merged), float(bad.sum())


def _row(sample: Sample, names: Sequence[str], what: int) -> Iterator[float]:
    found = {one.instance: (float(one.failures), float(one.requests)) for one in sample.instances}
    yield from (found.get(name, (0.0, 0.0))[what] for name in names)
