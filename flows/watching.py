"""Watching: after its promotion a release is looked at a while longer; a regression goes back by itself.

Nobody holds the lease meanwhile: whoever wants to roll back by hand need not wait. What is lost when this process dies is
the rest of the watch; traffic stays where it was promoted to, and the previous group stays warm.
"""

import time
from collections.abc import Sequence
from datetime import timedelta

from flows.admission import admit
from flows.errand import Errand
from flows.going_back import choose
from flows.heal import settle
from flows.observation import Observation, counted
from flows.policies import todays_policy
from flows.stopped import StoppedError
from flows.story import Tone, tell
from flows.tenure import Tenure, tenure_after_chores
from flows.vouching import attest_defeat
from tasks import platforms
from tasks.errors import BakewellError
from tasks.journal.rules import Deployed, RolledBack, Sampled, VerdictGiven, fold, record
from tasks.model import Admission, Judgement, Sample, Unseen, Verdict
from tasks.observe.regression import RegressionJudge
from tasks.observe.scrapes import following

LAST_SECONDS = 600.0  # of the rollout: how the previous group did


def watch(errand: Errand, seen: Observation) -> None:
    """StoppedError if the release was taken back. Compared with how the previous group did when it was last seen, and with
    the objectives."""
    seconds = errand.place.watched_seconds
    if errand.stable is None or not errand.steps or not seconds:
        return
    tell(
        f"watches it for {seconds:g} s more; an interruption ends the watch, and leaves it promoted",
        Tone.WAIT,
        where=errand.where,
    )
    judgement = _regression(errand, seconds, newest(seen.samples))
    if judgement is None:
        return
    with tenure_after_chores(
        platforms.journal(), errand.environment.service, errand.environment.name, "watch"
    ) as held:
        if _is_stable(held, errand):
            _go_back(held, errand, judgement)


def newest(samples: Sequence[Sample | Unseen]) -> list[Sample | Unseen]:
    """The last ten minutes."""
    since = samples[-1].at - timedelta(seconds=LAST_SECONDS) if samples else None
    return [one for one in samples if since is not None and one.at > since]


def _regression(errand: Errand, seconds: float, rollout: list[Sample | Unseen]) -> Judgement | None:
    """The judgement that takes it back, or None when the watch is over or somebody else has changed the environment."""
    place, release = errand.place, errand.release.id
    judge = RegressionJudge(errand.release.spec.objectives, place.observe, errand.slis)
    others = groups_beside(release, rollout)
    samples, end = [*rollout], time.monotonic() + seconds
    last = counted(errand)
    started_at = last.at
    while time.monotonic() < end:
        time.sleep(place.observe.interval_seconds)
        followed = following(last, counted(errand))
        last = followed.last
        if not _watched(errand, followed.sample):
            return None
        if followed.sample is not None:
            samples.append(followed.sample)
            judgement = judge.judge(samples, release, others, started_at, followed.sample.at)
            if judgement.verdict is Verdict.ROLL_BACK:
                return judgement
    return None


def groups_beside(release: str, samples: Sequence[Sample | Unseen]) -> tuple[str, ...]:
    """Everybody else who was seen: all of them ran the artifact before."""
    seen = [one for one in samples if isinstance(one, Sample)]
    groups = {found.group for one in seen for found in one.instances}
    return tuple(sorted(groups - {release}))


def _watched(errand: Errand, sample: Sample | Unseen | None) -> bool:
    """Journal what was seen, as long as this release is the stable one."""
    journal, here, release = platforms.journal(), errand.environment, errand.release.id
    state = fold(journal.events(here.service)).environments[here.service, here.name]
    if state.stable is None or state.stable.release != release or state.rollout is not None:
        return False
    if sample is not None:
        record(journal, here.service, here.name, release, Sampled(sample))
    return True


def _is_stable(held: Tenure, errand: Errand) -> bool:
    state = held.environment_state()
    return bool(state and state.stable and state.stable.release == errand.release.id)


def _go_back(held: Tenure, errand: Errand, judgement: Judgement) -> None:
    assert errand.stable is not None, "there is something to go back to"
    held.record(errand.release.id, VerdictGiven(judgement))
    target = _target(held, errand.stable)
    told = RolledBack(target, f"regression after promotion: {judgement.reason}", "watch")
    held.record(target.release, told)
    settle(held)
    tell(
        f"regression after promotion: {judgement.reason}; {target.release} has all traffic again",
        Tone.BAD,
        where=errand.where,
    )
    attest_defeat(errand.release.artifact, errand.release.id, errand.environment.name)
    raise StoppedError(errand.where, judgement)


def _target(held: Tenure, before: Deployed) -> Deployed:
    """The one before, unless it is not admitted any more (quarantined meanwhile): then the newest vetted that is.

    Where nobody can tell, the one before: it was admitted when it started, and is kept ready for this; nothing of it is
    started by going back. NotFoundError if none is admitted: the release stays, loudly.
    """
    lease, state = held.lease, held.environment_state()
    try:
        policy = todays_policy(held.state(), lease.service, lease.environment)
        refused = admit(before.artifact, policy).answer is Admission.REFUSE
    except BakewellError as error:
        where = f"{lease.service} {lease.environment}"
        tell(
            f"goes back without knowing whether that is admitted today: {error}",
            Tone.WARN,
            where=where,
        )
        return before
    return choose(held, state) if refused and state else before
