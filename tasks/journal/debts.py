"""Debts: what was bypassed and not made good since (invariant 11). A fold over the journal. Pure.

A debt is repaid by itself when, later, a release that did not go past that barrier is promoted in that environment: what runs
there has then come the whole way. That of an approval also when somebody approves that very release afterwards. Any by hand.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tasks.journal.events import Approved, Bypassed, EventKind, Promoted, body_of
from tasks.journal.line import Repaid
from tasks.lanes import Barrier
from tasks.ports import Event

OF_DEBTS: Final = frozenset(
    {EventKind.BYPASSED, EventKind.PROMOTED, EventKind.APPROVED, EventKind.REPAID}
)


@dataclass(frozen=True)
class Debt:
    """`line` is the sequence of the journal's line that made it; `found` is what the barrier said, `by` a claim."""

    line: int
    at: datetime
    service: str
    environment: str
    release: str
    barrier: str
    found: str
    reason: str
    by: str


def debts(events: Iterable[Event]) -> tuple[Debt, ...]:
    """Those that stand, oldest first."""
    standing: dict[int, Debt] = {}
    for event in events:
        if event.kind not in OF_DEBTS:
            continue
        body = body_of(event)
        if isinstance(body, Bypassed):
            standing[event.sequence] = _debt(event, body)
        elif isinstance(body, Repaid):
            standing.pop(body.debt, None)
        elif isinstance(body, Promoted | Approved):
            standing = _left_after(standing, event, body)
    return tuple(standing.values())


def _debt(event: Event, body: Bypassed) -> Debt:
    where = (event.service, event.environment, event.release)
    return Debt(event.sequence, event.at, *where, body.gate, body.found, body.reason, body.by)


def _left_after(
    standing: dict[int, Debt], event: Event, body: Promoted | Approved
) -> dict[int, Debt]:
    here = [one for one in standing.values() if _where(one) == (event.service, event.environment)]
    if isinstance(body, Promoted):
        owing = {one.barrier for one in here if one.release == event.release}
        repaid = {
            one.line for one in here if one.release != event.release and one.barrier not in owing
        }
    else:
        repaid = {
            one.line
            for one in here
            if one.release == event.release and one.barrier == Barrier.APPROVAL
        }
    return {line: one for line, one in standing.items() if line not in repaid}


def _where(debt: Debt) -> tuple[str, str]:
    return debt.service, debt.environment
