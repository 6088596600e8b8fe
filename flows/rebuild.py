"""Rebuild: bake every stale service anew from the source that it runs, parents before children, and release what came out.

A rebuild that gives the same digest rolls nothing (invariant 10). The journal knows what was planned and what is done: killed
anywhere and started again it goes on where it was.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Annotated, Any, Final, cast

from prefect import flow
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run as this_run
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import Field

from flows.labels import tags_of
from flows.progress import name_run
from flows.rebuild_end import ended, finish
from flows.rebuild_state import RebuildState, rebuilds, unfinished
from flows.rebuilding import Through, rebuild_service
from flows.staleness import planned
from flows.story import Tone, tell
from flows.tenure import tenure
from tasks import platforms
from tasks.journal.rebuilds import RebuildDone, RebuildPlanned
from tasks.journal.rules import EVERY_SERVICE, record
from tasks.lanes import LaneKind
from tasks.rebuild.order import begin_next
from tasks.rebuild.outcome import next_name, share_of
from tasks.stale import Rebuilt, Stale

MOST_AT_ONCE: Final = 16
End = tuple[Stale, PrefectFuture[Any]]
TASKS = cast(  # its type says that its futures are no futures
    TaskRunner[PrefectFuture[Any]], ThreadPoolTaskRunner[Any](max_workers=MOST_AT_ONCE)
)


@flow(flow_run_name="rebuild what is stale", task_runner=TASKS)
def rebuild(
    service: str = "",
    at_once: Annotated[int, Field(ge=1, le=MOST_AT_ONCE)] = 2,
    through: Through = Through.PROCESS,
    jitter_minutes: Annotated[float, Field(ge=0, le=720)] = 0,
) -> RebuildState:
    """Rebuild every stale service from the source that it runs: parents before children, one's failure stops no other.

    Args:
        service: Only this service, and what it stands on. Empty: all.
        at_once: So many are rebuilt at the same time, at most 16.
        through: Where the releases run. process: in this run's own; deployment: each as a run of release, by any worker.
        jitter_minutes: Wait for a part of this first, another one each time, so that not everybody asks the registries at once. By hand: 0.
    """
    time.sleep(60 * jitter_minutes * share_of(str(this_run.id)))
    with tenure(platforms.journal(), EVERY_SERVICE, "rebuild", "rebuild"):
        begun = begin(service)
        tags = tags_of(service, lane=LaneKind.PATCH)
        name_run(f"{begun.name}: {len(begun.stale)} stale", tags)
        carry_out(begun, at_once, through)
        return finish(begun.name)


def begin(service: str) -> RebuildState:
    """Take up what somebody left unfinished, else plan anew. The plan is journalled before anything is done."""
    journal = platforms.journal()
    events = journal.events()
    if left := unfinished(events):
        tell(f"goes on with {left.name}: {len(left.done)} of {len(left.stale)} are done")
        return left
    told = planned(service)
    for note in told.notes:
        tell(note, Tone.WARN)
    name = next_name((one.name for one in rebuilds(events)), f"{datetime.now(UTC):%Y-%m-%d}")
    record(journal, EVERY_SERVICE, "", "", RebuildPlanned(name, told.stale))
    return RebuildState(name, told.stale)


def carry_out(begun: RebuildState, at_once: int, through: Through) -> None:
    """Begin whom the rule says, and again whenever one has ended."""
    ends: SimpleQueue[End] = SimpleQueue()
    done, running = begun.outcomes, set[str]()
    while True:
        turn = begin_next(begun.stale, done, running, at_once)
        for one, why in turn.skip:
            done[one.service] = note(one, RebuildDone(begun.name, Rebuilt.SKIPPED, why))
        for one in turn.begin:
            running.add(one.service)
            tell(f"is rebuilt: {'; '.join(one.reasons)}", Tone.WAIT, where=one.service)
            rebuild_service.submit(one, begun.name, through).add_done_callback(_put(ends, one))
        if not running and not turn.skip:
            return
        if running:
            one, future = ends.get()
            future.wait()  # it has ended; only now does its state say so, whatever the API knows
            running.remove(one.service)
            done[one.service] = note(one, ended(begun.name, one, future.state))


def _put(ends: "SimpleQueue[End]", one: Stale) -> Callable[[PrefectFuture[Any]], None]:
    return lambda future: ends.put((one, future))


def note(one: Stale, done: RebuildDone) -> Rebuilt:
    """Journal and tell what became of one."""
    record(platforms.journal(), one.service, "", done.release, done)
    tone = Tone.BAD if done.outcome in (Rebuilt.FAILED, Rebuilt.SKIPPED) else Tone.GOOD
    tell(f"{done.outcome.value}: {done.note}", tone, where=one.service)
    return done.outcome
