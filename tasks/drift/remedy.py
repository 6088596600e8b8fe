"""What takes drift away, and when to stop: what comes back again and again is left to people. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tasks.inspection import Cure, Drift


@dataclass(frozen=True)
class Breaker:
    """The loop breaker: what was healed `times` times `within` that time is left alone."""

    times: int = 3
    within: timedelta = timedelta(hours=1)


BREAKER: Final = Breaker()


@dataclass(frozen=True)
class PastHeal:
    """Causes that were healed together."""

    at: datetime
    causes: tuple[str, ...]


@dataclass(frozen=True)
class Left:
    """What is not healed any more, until people have looked or `until` is over."""

    drift: Drift
    times: int
    until: datetime


@dataclass(frozen=True)
class Remedy:
    """`converge`: bring the fleet to its spec, which replaces what is missing or does not run. `replace`: (group, instance),
    one at a time, each after a fresh one is ready. `reroute`: write the splitter's configuration anew. `go_back`: roll back
    what is quarantined. `heals`: what all this takes away; `people`: what it does not touch."""

    converge: bool = False
    replace: tuple[tuple[str, str], ...] = ()
    reroute: bool = False
    go_back: bool = False
    heals: tuple[Drift, ...] = ()
    left: tuple[Left, ...] = ()
    people: tuple[Drift, ...] = ()


def remedy(
    found: Sequence[Drift],
    past: Sequence[PastHeal],
    now: datetime,
    is_served: bool,
    breaker: Breaker = BREAKER,
) -> Remedy:
    """`past`: what the journal says was healed here. While users are not served nothing is left alone that could serve
    them: a loop that ends in an outage is worse than the loop."""
    people = tuple(one for one in found if one.cure is Cure.PERSON)
    left = tuple(
        stopped
        for one in found
        if one.cure is not Cure.PERSON
        and (is_served or one.cure not in (Cure.CONVERGE, Cure.REROUTE))
        and (stopped := _left(one, past, now, breaker))
    )
    stopped_causes = {one.drift.cause for one in left}
    heals = tuple(
        one for one in found if one.cure is not Cure.PERSON and one.cause not in stopped_causes
    )
    cures = {one.cure for one in heals}
    replaced = {(one.group, one.instance): None for one in heals if one.cure is Cure.REPLACE}
    return Remedy(
        Cure.CONVERGE in cures,
        tuple(replaced),
        Cure.REROUTE in cures,
        Cure.GO_BACK in cures,
        heals,
        left,
        people,
    )


def _left(drift: Drift, past: Sequence[PastHeal], now: datetime, breaker: Breaker) -> Left | None:
    healed = sorted(
        heal.at for heal in past if drift.cause in heal.causes and now - heal.at < breaker.within
    )
    if len(healed) < breaker.times:
        return None
    return Left(drift, len(healed), healed[-breaker.times] + breaker.within)
