"""Observation: sample, judge and say so, until the judge has decided. One judge and one evidence for a whole rollout.

The samples are in the journal; a rollout that was interrupted goes on with those of its release, so that nothing that was
seen is lost, and nothing counts twice.
"""

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

from flows.beside import Beside
from flows.calibration import measured_burst
from flows.course import courses
from flows.entry import stop_if_line_stopped
from flows.errand import Errand
from flows.evidence import RolloutPage
from flows.progress import Progress
from flows.quarantine import Lookout
from flows.story import Tone, tell
from flows.tenure import Tenure
from tasks import platforms
from tasks.journal.rules import Sampled
from tasks.model import Environment, FleetStatus, Judgement, Reading, Sample, Step, Unseen, Verdict
from tasks.observe.actions import take_sample
from tasks.observe.peers import PeerJudge
from tasks.observe.scrapes import following
from tasks.ports import Journal
from tasks.rollout.rules import plan
from tasks.service import AllAtOnce

Converged = Callable[[], FleetStatus]


class Observation:
    """What one rollout has seen, its judge, and who looks whether its candidate is quarantined meanwhile."""

    def __init__(self, held: Tenure, errand: Errand, beside: Beside) -> None:
        self._held, self._errand, self._beside = held, errand, beside
        self.lookout = Lookout(errand.release.artifact)
        spec, place = errand.release.spec, errand.place
        judged = [one for one in spec.environments if not isinstance(one.strategy, AllAtOnce)]
        burst = measured_burst(errand.environment)
        self._judge = PeerJudge(spec.objectives, place.observe, len(judged), burst, errand.slis)
        here = (errand.environment.service, errand.release.id, errand.environment.name)
        self.page = RolloutPage(held.journal, *here)
        self.samples = recorded(held.journal, errand.environment, errand.release.id)
        if self.samples:
            words = f"{len(self.samples)} samples of an interrupted try still count"
            tell(words, where=errand.where)

    def until_decided(self, step: Step, converged: Converged) -> Judgement:
        """The fleet is kept at the step's spec meanwhile. Any verdict but KEEP_OBSERVING ends it."""
        errand, settings = self._errand, self._errand.place.observe
        fleet = platforms.connect(errand.environment.platform).fleet
        progress = Progress(f"{errand.where} {step.name}")
        last = counted(errand)
        started_at = last.at
        while True:
            time.sleep(settings.interval_seconds)
            stop_if_line_stopped(self._held, errand.release, errand.environment.name, errand.where)
            if ended := self.lookout.judgement():
                return ended
            if plan(step.spec, fleet.read(errand.environment), errand.admitted):
                converged()
            followed = following(last, counted(errand))
            last = followed.last
            if followed.sample is not None:
                self._add(followed.sample)
            judgement = self._look(step, started_at)
            self._beside.draw(partial(self._draw, progress, judgement))
            if judgement.verdict is not Verdict.KEEP_OBSERVING:
                return judgement
            tell(judgement.reason, Tone.WAIT, where=errand.where)

    def _draw(self, progress: Progress, judgement: Judgement) -> None:
        progress.show(judgement, self._errand.place.observe)
        self.page.show(judgement)

    def _add(self, sample: Sample | Unseen) -> None:
        """The journal first: what it refuses was not seen."""
        self._held.record(self._errand.release.id, Sampled(sample))
        self.samples.append(sample)

    def _look(self, step: Step, started_at: datetime) -> Judgement:
        """By the clock of the samples: so the journal alone is enough to repeat it (flows/retelling.py)."""
        release = self._errand.release.id
        peers = tuple(
            group.name for group in step.spec.groups if group.name != release and group.weight
        )
        now = max(started_at, self.samples[-1].at) if self.samples else started_at
        return self._judge.judge(self.samples, release, peers, started_at, now)


def recorded(journal: Journal, here: Environment, release: str) -> list[Sample | Unseen]:
    """What earlier tries of this rollout have seen, as the journal has it. Once promoted, a release begins anew."""
    found = courses(journal.events(here.service), here.service, release)
    mine = [one for one in found if one.environment.name == here.name]
    return [*mine[-1].earlier, *mine[-1].samples] if mine else []


def counted(errand: Errand) -> Reading | Unseen:
    """The counters now, from where service.yaml says that they come from."""
    return take_sample(errand.environment, errand.place.metrics, errand.slis)
