"""Words for people: what is not nothing never reads as nothing, and what others wrote cannot break a line."""

from dataclasses import replace
from datetime import timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.words import (
    body_words,
    clock,
    count,
    duration,
    event_words,
    holder,
    listed,
    moment,
    one_line,
    percent,
    verdict_of,
)
from tasks.evidence import Quarantine, QuarantineKind
from tasks.inspection import Cure, Drift, DriftKind
from tasks.journal.events import (
    Approved,
    BakedBody,
    Body,
    Bypassed,
    DriftFound,
    DriftLeft,
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
)
from tasks.model import Judgement, Lease, Verdict
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
from tests.support.pages import HOSTILE


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (-0.01, "0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (119.4, "119 s"),
        (119.6, "2 min"),
        (125, "2 min 5 s"),
        (3599.6, "1 h"),
        (10_830, "3 h"),
        (90_000, "1 d 1 h"),
        (86_400 * 400, "400 d"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0, "0 %"),
        (1e-9, "<0.1 %"),
        (0.0005, "0.1 %"),
        (0.213, "21.3 %"),
        (0.9994, "99.9 %"),
        (0.99999, ">99.9 %"),
        (1, "100 %"),
        (-0.0001, ">-0.1 %"),
        (-0.02, "-2 %"),
    ],
)
def test_what_is_not_0_never_reads_as_0_and_what_is_not_all_never_as_100(
    share: float, words: str
) -> None:
    assert percent(share) == words


@given(st.floats(-1, 1))
def test_no_share_but_0_reads_as_0(share: float) -> None:
    assert (percent(share).strip("-") == "0 %") == (share == 0)


def test_numbers_and_lists_read_as_people_say_them() -> None:
    assert [count(number, "request") for number in (0, 1, 2000)] == [
        "0 requests",
        "1 request",
        "2,000 requests",
    ]
    assert [listed(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


def test_moments_are_told_in_utc_wherever_they_were_written_down() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert (moment(there), clock(there)) == ("2026-03-01 12:00:00", "12:00:00")


@given(st.text())
def test_one_line_is_one_line_without_anything_that_moves_a_cursor(words: str) -> None:
    line = one_line(words)
    assert len(line.splitlines()) <= 1
    assert all(mark.isprintable() for mark in line)


def test_line_ends_and_tabs_of_a_log_stay_readable() -> None:
    assert one_line("  first\r\n\n\tsecond\tcolumn ") == "first / second column"
    assert one_line("1\N{NO-BREAK SPACE}000 s") == "1 000 s", "a space of any kind is a space"
    assert one_line("\x1b[2K\u202eevil") == "�[2K�evil"


def test_the_holder_of_a_lease_is_a_process_or_whatever_it_calls_itself() -> None:
    lease = Lease("hello", "prod", "host:boot:123:456:release:again", 1, NOON)
    assert holder(lease) == "release:again (process 123 on host)"
    assert holder(Lease("hello", "prod", "somebody", 1, NOON)) == "somebody"


DRIFT = Drift(
    DriftKind.SETTINGS,
    "r1",
    "r1-a",
    "Memory",
    "Memory is 2",
    "1",
    Cure.REPLACE,
    NOON,
)
TOLD: list[tuple[Body, str]] = [
    (BakedBody(SOURCE, artifact(1), True), "baked before from the same inputs"),
    (release_started(1), "https://git.example/hello@aaaaaaaaaaaa"),
    (RolloutStarted(PROD, artifact(1), 1, ""), "1 instance wanted"),
    (StepStarted(0, step(1, 2)), "step 1: 10 %"),
    (Sampled(sample()), "sampled"),
    (VerdictGiven(Judgement(Verdict.ROLL_BACK, "too many errors")), "roll back: too many errors"),
    (Approved("ann", "it is time", "command line"), "ann (command line): it is time"),
    (Bypassed("burn", "it burns", "mends it", "bob"), "bob: mends it (it said: it burns)"),
    (Promoted(deployed(1), None), "promoted"),
    (Promoted(deployed(1), NOON), "stays warm until 12:00:00"),
    (Withdrawn(None, "crashed"), "withdrawn: crashed"),
    (Withdrawn(Verdict.ROLL_BACK, "slow"), "rolled back: slow"),
    (RolledBack(deployed(1), "slow", "ann"), "rolled back to r1 by ann: slow"),
    (Scaled(3), "scaled to 3 instances"),
    (WarmEnded(), "no longer kept warm"),
    (WentDown(), "taken down"),
    (Healed("one had died"), "healed: one had died"),
    (
        DriftFound((DRIFT, DRIFT)),
        "drift: r1-a: settings were changed: Memory is 2 (should be: 1), since 2026-03-01 12:00:00 UTC; and 1 more",
    ),
    (DriftFound(()), "no drift any more"),
    (
        DriftLeft(DRIFT, 3, NOON),
        "healed 3 times and back again, so it is left to people until 2026-03-01 12:00:00 UTC: r1-a: settings",
    ),
    (ReleaseFinished("promoted in prod"), "promoted in prod"),
    (
        Quarantined(Quarantine(QuarantineKind.PACKAGE, "leaky@*", "stolen key", "ann", NOON)),
        "the package leaky@* is quarantined by ann until it is lifted: stolen key",
    ),
    (
        Quarantined(Quarantine(QuarantineKind.BASE, "sha256:1", "old", "ann", NOON, NOON)),
        "until 2026-03-01 12:00:00 UTC: old",
    ),
    (
        QuarantineLifted(QuarantineKind.PACKAGE, "leaky@*", "a false alarm", "bob"),
        "quarantine of the package leaky@* lifted by bob: a false alarm",
    ),
]


def test_events_are_told_in_these_words() -> None:
    assert [body_words(body) for body, words in TOLD if words not in body_words(body)] == []


def test_an_event_that_cannot_be_read_says_so_instead_of_ending_the_story() -> None:
    bad = replace(line("r1", Scaled(3)), sequence=7, body={"replicas": HOSTILE})
    assert "line 7 of the journal (scaled) cannot be read" in event_words(bad)
    assert verdict_of(bad) is None


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        (VerdictGiven(Judgement(Verdict.INCONCLUSIVE, "blind")), Verdict.INCONCLUSIVE),
        (Promoted(deployed(1), None), Verdict.PROMOTE),
        (RolledBack(deployed(1), "slow", "ann"), Verdict.ROLL_BACK),
        (Withdrawn(None, "crashed"), None),
        (Scaled(3), None),
    ],
)
def test_events_that_give_or_carry_out_a_verdict_have_it(
    body: Body, verdict: Verdict | None
) -> None:
    assert verdict_of(line("r1", body)) == verdict
