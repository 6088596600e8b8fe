"""Pushes as people and machines read them: each with what became of it, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from flows.pushbook import BODIES_OF_PUSHES, KINDS_OF_PUSHES
from flows.words import moment, one_line
from tasks.journal.events import body_of
from tasks.journal.pushes import PushAccepted, PushDropped, PushEnded, PushTaken
from tasks.ports import Journal


@dataclass(frozen=True)
class PushTold:
    """One accepted line. `became` is a sentence; `is_open`: nothing has become of it yet."""

    id: int
    at: datetime
    service: str
    body: PushAccepted
    became: str = "waits to be released"
    is_open: bool = True


def pushes_told(journal: Journal, service: str | None, limit: int) -> list[PushTold]:
    """At most `limit`, newest first."""
    found: dict[int, PushTold] = {}
    for event in journal.events(service, kinds=KINDS_OF_PUSHES):
        body = body_of(event)
        if isinstance(body, PushAccepted):
            found[event.sequence] = PushTold(event.sequence, event.at, event.service, body)
        elif isinstance(body, BODIES_OF_PUSHES) and (before := found.get(body.push)):
            words = _became(body)
            found[body.push] = PushTold(
                before.id, before.at, before.service, before.body, words, False
            )
    return [*reversed(found.values())][:limit]


def _became(body: PushTaken | PushDropped | PushEnded) -> str:
    match body:
        case PushTaken(_, ""):
            return "is about to be released"
        case PushTaken(_, run):
            return f"is released by run {run}"
        case PushDropped(_, reason, _):
            return f"not released: {reason}"
        case PushEnded(_, succeeded, said):
            return said if succeeded else f"failed: {said}"


def pushes_json(pushes: Sequence[PushTold]) -> list[dict[str, Any]]:
    return [
        {
            "id": one.id,
            "at": one.at.isoformat(),
            "service": one.service,
            **vars(one.body),
            "became": one.became,
            "open": one.is_open,
        }
        for one in pushes
    ]


def pushes_table(pushes: Sequence[PushTold]) -> Table | Text:
    if not pushes:
        return Text("no push was accepted yet; deployments/repositories.yaml says how")
    table = Table(box=None, pad_edge=False)
    for name in ("when (UTC)", "service", "commit", "branch", "by", "what became of it"):
        table.add_column(name)
    for one in pushes:
        words = (one.service, one.body.commit[:12], one.body.ref, one.body.by, one.became)
        table.add_row(moment(one.at), *(Text(one_line(word)) for word in words))
    return table
