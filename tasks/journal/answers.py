"""What people answered when a release asked to enter an environment. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tasks.journal.events import Approved, EventKind, body_of
from tasks.journal.waits import Rejected
from tasks.model import Judgement, Verdict
from tasks.ports import Event

KINDS: Final = (EventKind.APPROVED, EventKind.REJECTED, EventKind.RELEASE_FINISHED)


@dataclass(frozen=True)
class Answer:
    """What somebody said, and when."""

    at: datetime
    said: Approved | Rejected


def answer_of(events: Iterable[Event], release: str, environment: str) -> Answer | None:
    """The newest answer for this release there. What was said before the release ended once is not said of its next try."""
    found: Answer | None = None
    for event in events:
        if event.release != release or event.kind not in KINDS:
            continue
        if event.kind == EventKind.RELEASE_FINISHED:
            found = None
        elif event.environment == environment:
            body = body_of(event)
            found = Answer(event.at, body) if isinstance(body, Approved | Rejected) else found
    return found


def judged(
    answer: Answer | None, until: datetime, seconds: float, now: datetime
) -> Judgement | None:
    """May it enter? None: nobody has said so yet. `until`: later answers count no more, `seconds` after it was asked.

    Rejected, or silence, is INCONCLUSIVE: neither says anything of what the artifact does.
    """
    if answer is not None and answer.at <= until:
        said = answer.said
        if isinstance(said, Approved):
            return Judgement(Verdict.PROMOTE, f"approved by {said.by} ({said.how}): {said.reason}")
        return Judgement(Verdict.INCONCLUSIVE, str(said))
    if now < until:
        return None
    return Judgement(Verdict.INCONCLUSIVE, f"nobody approved it within {seconds:.0f} s")
