"""Outcomes: what the journal says came of a rollout, as the verdict that is attested. Pure."""

from collections.abc import Sequence
from typing import Final

from tasks.evidence import RolloutVerdict
from tasks.journal.events import (
    EventKind,
    Promoted,
    RolloutStarted,
    VerdictGiven,
    Withdrawn,
    body_of,
)
from tasks.model import Judgement, Verdict
from tasks.ports import Event

_TOLD: Final = frozenset(
    {
        EventKind.ROLLOUT_STARTED,
        EventKind.VERDICT_GIVEN,
        EventKind.PROMOTED,
        EventKind.WITHDRAWN,
    }
)


def outcome(
    events: Sequence[Event], service: str, release: str, environment: str
) -> RolloutVerdict | None:
    """Of the newest rollout of the release there. None while it goes on, or if it ended without a verdict: by a crash or
    an interruption. A verdict after the promotion (a regression) takes its place."""
    own = _newest(events, service, release, environment)
    ending = next((event for event in reversed(own) if _ends(event, own)), None)
    if ending is None:
        return None
    judged = _judgement(ending, own)
    started = body_of(own[0])
    if judged is None or not isinstance(started, RolloutStarted):
        return None
    return RolloutVerdict(
        environment,
        started.environment.platform,
        judged.verdict,
        judged.reason,
        release,
        own[0].at,
        ending.at,
        judged.numbers,
        ending.hash,
    )


def _newest(
    events: Sequence[Event], service: str, release: str, environment: str
) -> Sequence[Event]:
    """Its lines from the start of the newest rollout on; samples are not even read."""
    where = (service, release, environment)
    own = [
        event
        for event in events
        if (event.service, event.release, event.environment) == where and event.kind in _TOLD
    ]
    starts = [place for place, event in enumerate(own) if event.kind == EventKind.ROLLOUT_STARTED]
    return own[starts[-1] :] if starts else ()


def _ends(event: Event, own: Sequence[Event]) -> bool:
    """A verdict ends a rollout only where it comes after the promotion."""
    if event.kind != EventKind.VERDICT_GIVEN:
        return event.kind in (EventKind.PROMOTED, EventKind.WITHDRAWN)
    return any(one.kind == EventKind.PROMOTED and one.sequence < event.sequence for one in own)


def _judgement(ending: Event, own: Sequence[Event]) -> Judgement | None:
    """The verdict as it was carried out, with the words and numbers of the judge's last one."""
    last = _last_verdict(own, ending)
    match body_of(ending):
        case VerdictGiven(judgement):
            return judgement
        case Promoted():
            reason = last.reason if last else "all its steps were taken"
            return Judgement(Verdict.PROMOTE, reason, last.numbers if last else {})
        case Withdrawn(Verdict() as verdict, reason):
            return Judgement(verdict, reason, last.numbers if last else {})
    return None


def _last_verdict(own: Sequence[Event], ending: Event) -> Judgement | None:
    told = [
        body.judgement
        for event in own
        if event.sequence < ending.sequence and isinstance(body := body_of(event), VerdictGiven)
    ]
    return told[-1] if told else None
