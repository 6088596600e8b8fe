"""Every body that the journal knows survives being written, and has words."""

from datetime import timedelta

import pytest

from flows.words import body_words
from tasks.evidence import Quarantine, QuarantineKind
from tasks.journal.events import (
    BODIES,
    KINDS,
    Approved,
    BakedBody,
    Body,
    Bypassed,
    DriftFound,
    DriftLeft,
    EventKind,
    Healed,
    Promoted,
    Quarantined,
    QuarantineLifted,
    ReleaseFinished,
    RolledBack,
    RolloutStarted,
    Sampled,
    Scaled,
    StepStarted,
    VerdictGiven,
    WarmEnded,
    WentDown,
    Withdrawn,
    body_of,
    written,
)
from tasks.journal.line import LineResumed, LineStopped, Notified, Repaid
from tasks.journal.pushes import DropCause, PushAccepted, PushDropped, PushEnded, PushTaken
from tasks.journal.rebuilds import (
    BasesSeen,
    RebuildDone,
    RebuildFinished,
    RebuildPlanned,
    SeenBase,
)
from tasks.journal.waits import Rejected, ReleaseWaits, Wait, WaitEnded, WaitKind
from tasks.model import Judgement, Unseen, Verdict
from tasks.stale import Rebuilt, Stale
from tests.support.drifting import drift
from tests.support.events import (
    NOON,
    PROD,
    SOURCE,
    artifact,
    deployed,
    line,
    release_started,
    sample,
    step,
)

LATER = NOON + timedelta(hours=1)

EXAMPLES: tuple[Body, ...] = (
    BakedBody(SOURCE, artifact(1), True),
    release_started(1, reused=True),
    RolloutStarted(PROD, artifact(1), 3, "run"),
    StepStarted(2, step(1, 2)),
    Sampled(sample()),
    Sampled(Unseen(NOON, "no answer")),
    VerdictGiven(Judgement(Verdict.INCONCLUSIVE, "too little", {"requests": 7, "p": 0.25})),
    Approved("ada", "it is Tuesday", "command line"),
    Bypassed("start gate", "it burns", "it mends that", "ada"),
    Promoted(deployed(1), LATER),
    Promoted(deployed(1), None),
    Withdrawn(Verdict.ROLL_BACK, "errors"),
    Withdrawn(None, "crashed"),
    RolledBack(deployed(1), "slow", "ada"),
    RolledBack(deployed(1), "stolen key", "ada", f"artifact {artifact(2).digest}"),
    Scaled(4),
    WarmEnded(),
    WentDown(),
    Healed("drift", (drift().cause,)),
    DriftFound((drift(),)),
    DriftLeft(drift(), 3, LATER),
    ReleaseFinished("promoted in prod"),
    Quarantined(
        Quarantine(QuarantineKind.BASE, "sha256:9", "old", "ada", NOON, LATER, (("a",), ()))
    ),
    Quarantined(Quarantine(QuarantineKind.PACKAGE, "leaky@1.0", "stolen key", "ada", NOON)),
    QuarantineLifted(QuarantineKind.PACKAGE, "leaky@1.0", "a false alarm", "bob"),
    ReleaseWaits(Wait(WaitKind.APPROVAL, "prod needs an approval", LATER, "run")),
    ReleaseWaits(Wait(WaitKind.LINE, "the line is stopped")),
    WaitEnded(WaitKind.SOAK, "it soaked for 2 days"),
    Rejected("bob", "not on a Friday", "form"),
    LineStopped("the database is being moved", "ada"),
    LineResumed("it is moved", "ada"),
    Repaid(7, "ada", "approved afterwards"),
    Notified("hello r1 promoted", "hello r1 was promoted in prod"),
    PushAccepted(
        "github", "72d3162e", "https://git.example.org/shop", "main", "1" * 40, "hello", "ada"
    ),
    PushTaken(3, "run"),
    PushDropped(3, "a newer push supersedes it", DropCause.SUPERSEDED),
    PushEnded(3, True, "promoted in prod"),
    RebuildPlanned("rebuild-1", (Stale("hello", ("its base moved",), ("base",)),)),
    RebuildDone("rebuild-1", Rebuilt.PATCHED, "promoted", "r2", ("CVE-2026-1",)),
    BasesSeen((SeenBase("registry.example/base:12", "sha256:12"),)),
    RebuildFinished("rebuild-1", "1 patched"),
)


@pytest.mark.parametrize("body", EXAMPLES, ids=lambda body: type(body).__name__)
def test_every_body_survives_the_journal(body: Body) -> None:
    assert body_of(line("r1", body)) == body
    assert written(body_of(line("r1", body))) == written(body)


def test_every_kind_has_a_body_of_its_own() -> None:
    assert set(BODIES) == set(EventKind)
    assert len(KINDS) == len(BODIES)
    assert {type(body) for body in EXAMPLES} == set(KINDS)


@pytest.mark.parametrize("body", EXAMPLES, ids=lambda body: type(body).__name__)
def test_every_body_has_words_for_people(body: Body) -> None:
    words = body_words(body)
    assert words
    assert type(body).__name__ not in words
