"""Waves: the environments of one wave are rolled out at the same time, each under its own lease and by its own verdict.

A verdict in one of them stops no other: each is judged by its own users, and what was begun is finished or withdrawn by whoever
watches it. What stops is the way on: no later wave is entered, and with `on_bad_wave: roll back` those of this wave that were
promoted return to what served before. A process that dies leaves each to its lease, as any rollout.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context

from flows.rollback import rollback
from flows.rollout import rollout
from flows.stopped import StoppedError
from flows.story import Tone, tell
from flows.tenure import Tenure
from tasks.errors import BakewellError, CorruptError
from tasks.journal.rules import Deployed, ReleaseState
from tasks.model import Judgement, Verdict
from tasks.service import EnvironmentSpec, OnBadWave

AT_ONCE = 8


def is_stable(held: Tenure, told: ReleaseState, place: EnvironmentSpec) -> bool:
    """Does its artifact serve there already, with as many instances as it shall?"""
    here = held.state().environments.get((told.service, place.name))
    stable = here.stable if here and here.rollout is None else None
    same = stable is not None and stable.artifact.digest == told.artifact.digest
    return same and stable is not None and stable.replicas == place.replicas


def roll_out_wave(
    held: Tenure, told: ReleaseState, wave: Sequence[EnvironmentSpec], despite_burn: str
) -> None:
    """StoppedError, or whatever the first environment that failed has failed with; all have ended then."""
    before = {place.name: _stable(held, told, place) for place in wave}
    if len(wave) == 1:
        rollout(told.service, told.id, wave[0].name, despite_burn)
    elif wave:
        _at_once(held, told, wave, despite_burn, before)
    for place in wave:
        _ensure_promoted(held, told, place)


def _at_once(
    held: Tenure,
    told: ReleaseState,
    wave: Sequence[EnvironmentSpec],
    despite_burn: str,
    before: dict[str, Deployed | None],
) -> None:
    names = [place.name for place in wave]
    tell(f"wave {wave[0].wave}: {', '.join(names)} at the same time", where=_where(told))
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="wave") as pool:
        going: dict[str, Future[Judgement]] = {
            name: pool.submit(
                copy_context().run, rollout, told.service, told.id, name, despite_burn
            )
            for name in names
        }
    failed = {name: error for name, one in going.items() if (error := one.exception())}
    if not failed:
        return
    good = [name for name in names if name not in failed]
    if told.spec.on_bad_wave is OnBadWave.ROLL_BACK:
        for name in good:
            _take_back(told, name, before[name], f"{', '.join(failed)} of its wave refused it")
    first, *_ = failed.values()
    raise _told(told, failed, good) if _all_stopped(failed) else first


def _take_back(told: ReleaseState, place: str, before: Deployed | None, why: str) -> None:
    """What served there before comes back. Where nothing did, or what did may not any more, it stays, loudly."""
    if before is None or before.artifact.digest == told.artifact.digest:
        tell(f"stays in {place}: nothing else served there before", Tone.WARN, where=_where(told))
        return
    try:
        rollback(told.service, place, why)
    except BakewellError as error:
        tell(f"stays in {place}: {error}", Tone.BAD, where=_where(told))


def _all_stopped(failed: dict[str, BaseException]) -> bool:
    return all(isinstance(error, StoppedError) for error in failed.values())


def _told(
    told: ReleaseState, failed: dict[str, BaseException], good: Sequence[str]
) -> StoppedError:
    """The worst verdict speaks for the wave."""
    judgements = {
        name: error.judgement for name, error in failed.items() if isinstance(error, StoppedError)
    }
    bad = [one for one in judgements.values() if one.verdict is Verdict.ROLL_BACK]
    worst = bad[0] if bad else next(iter(judgements.values()))
    words = "; ".join(
        f"{name}: {one.verdict.value}: {one.reason}" for name, one in judgements.items()
    )
    kept = f"; promoted in {', '.join(good)}" if good else ""
    return StoppedError(_where(told), Judgement(worst.verdict, f"its wave stopped: {words}{kept}"))


def _ensure_promoted(held: Tenure, told: ReleaseState, place: EnvironmentSpec) -> None:
    """The journal decides, not what Prefect says that a run returned."""
    stable = _stable(held, told, place)
    if stable is None or stable.artifact.digest != told.artifact.digest:
        raise CorruptError(
            f"the rollout of {_where(told)} in {place.name} ended, and the journal does not say that it was promoted there;"
            " `bakewell status` shows what is there"
        )


def _stable(held: Tenure, told: ReleaseState, place: EnvironmentSpec) -> Deployed | None:
    here = held.state().environments.get((told.service, place.name))
    return here.stable if here else None


def _where(told: ReleaseState) -> str:
    return f"{told.service} {told.id}"
