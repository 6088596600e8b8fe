"""In which order services are rebuilt, and which may begin now. Pure."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from tasks.errors import InvalidInputError
from tasks.stale import Rebuilt, Stale

BAD = (Rebuilt.FAILED, Rebuilt.SKIPPED)


def in_order(stale: Iterable[Stale], worst: Mapping[str, int]) -> tuple[Stale, ...]:
    """Parents before children; then lower batches first; then by `worst` (lower first); then by name.

    Whoever stands on a service of a higher batch is of that batch, too. InvalidInputError names a circle.
    """
    todo = {one.service: one for one in stale}
    waiting = {name: set(one.after) & todo.keys() for name, one in todo.items()}
    ready = [_turn(one, worst) for one in todo.values() if not waiting[one.service]]
    heapq.heapify(ready)
    done: dict[str, Stale] = {}
    while ready:
        name = heapq.heappop(ready)[-1]
        batch = max(
            [todo[name].batch, *(done[each].batch for each in todo[name].after if each in done)]
        )
        done[name] = replace(todo[name], batch=batch)
        for other, left in waiting.items():
            if name in left:
                left.remove(name)
                if not left:
                    heapq.heappush(ready, _turn(todo[other], worst))
    if circle := sorted(todo.keys() - done.keys()):
        raise InvalidInputError(
            f"asked for the order in which to rebuild; {', '.join(circle)} stand on each other in a circle; have one of"
            " them stand on something else"
        )
    return tuple(sorted(done.values(), key=lambda one: one.batch))


def _turn(one: Stale, worst: Mapping[str, int]) -> tuple[int, int, str]:
    return one.batch, worst.get(one.service, 0), one.service


@dataclass(frozen=True)
class Next:
    """What to begin now, and what to skip, each with a sentence why."""

    begin: tuple[Stale, ...]
    skip: tuple[tuple[Stale, str], ...]


def begin_next(
    stale: Sequence[Stale],
    done: Mapping[str, Rebuilt],
    running: AbstractSet[str],
    at_once: int,
) -> Next:
    """Never more than `at_once` run; nobody begins before all that it stands on is done, and every lower batch. Whoever
    stands on what failed is skipped."""
    open_ = [one for one in stale if one.service not in done and one.service not in running]
    skip = tuple(
        (one, _why(bad))
        for one in open_
        if (bad := [each for each in one.after if done.get(each) in BAD])
    )
    skipped = {one.service for one, _ in skip}
    left = [one for one in stale if one.service not in done and one.service not in skipped]
    batch = min((one.batch for one in left), default=0)
    able = [
        one
        for one in open_
        if one.service not in skipped
        and one.batch == batch
        and all(each in done for each in one.after)
    ]
    return Next(tuple(able[: max(0, at_once - len(running))]), skip)


def _why(bad: Sequence[str]) -> str:
    return f"it stands on {', '.join(bad)}, which could not be rebuilt"
