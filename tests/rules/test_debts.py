"""What was bypassed stays visible until it is repaid; whether the line is stopped is said by its newest line."""

from collections.abc import Iterable

import pytest

from flows.bypassing import bypass_named, lane_of
from flows.course import courses
from tasks.errors import InvalidInputError
from tasks.journal.debts import debts
from tasks.journal.events import Approved, Body, Bypassed, Promoted, RolloutStarted, Withdrawn
from tasks.journal.line import LineResumed, LineStopped, Repaid
from tasks.journal.stops import stop_in_force
from tasks.lanes import NORMAL_LANE, Barrier, Bypass, Lane, LaneKind
from tests.support.events import PROD, artifact, chained, deployed, line


def bypassed(barrier: Barrier) -> Bypassed:
    return Bypassed(barrier.value, "it said no", "because", "ada")


def left(*lines: tuple[str, Body]) -> list[tuple[str, str]]:
    """(release, barrier) of the debts that stand after these lines of hello in prod."""
    told = chained(line(release, body) for release, body in lines)
    return [(one.release, one.barrier) for one in debts(told)]


WINDOW, APPROVAL = bypassed(Barrier.WINDOW), bypassed(Barrier.APPROVAL)
PROMOTED = Promoted(deployed(2), None)


def test_its_own_promotion_repays_nothing() -> None:
    assert left(("r1", WINDOW), ("r1", PROMOTED)) == [("r1", "window")]


def test_a_later_release_that_came_the_whole_way_repays() -> None:
    assert left(("r1", WINDOW), ("r1", PROMOTED), ("r2", PROMOTED)) == []
    assert left(("r1", WINDOW), ("r2", Withdrawn(None, "x"))) == [("r1", "window")]


def test_a_later_release_that_owes_the_same_repays_only_the_rest() -> None:
    told: list[tuple[str, Body]] = [
        ("r1", WINDOW),
        ("r1", APPROVAL),
        ("r2", WINDOW),
        ("r2", PROMOTED),
    ]
    assert left(*told) == [("r1", "window"), ("r2", "window")]


def test_an_approval_afterwards_repays_that_of_its_own_release() -> None:
    approved = Approved("bob", "looked at it", "command line")
    assert left(("r1", APPROVAL), ("r1", approved)) == []
    assert left(("r1", WINDOW), ("r1", approved)) == [("r1", "window")]
    assert left(("r1", APPROVAL), ("r2", approved)) == [("r1", "approval")]


def test_by_hand_one_line_is_repaid() -> None:
    told: list[tuple[str, Body]] = [
        ("r1", WINDOW),
        ("r1", APPROVAL),
        ("r1", Repaid(1, "ada", "reviewed")),
    ]
    assert left(*told) == [("r1", "approval")]


def test_what_is_promoted_elsewhere_repays_nothing_here() -> None:
    told = [line("r1", WINDOW), line("r2", PROMOTED, environment="staging")]
    assert [one.environment for one in debts(chained(told))] == ["prod"]


def test_the_newest_line_says_whether_everything_is_stopped() -> None:
    def stop(bodies: Iterable[Body]) -> str:
        found = stop_in_force(chained(line("", body, environment="") for body in bodies))
        return f"{found.reason} since {found.since:%S}" if found else ""

    first, second, go = LineStopped("a", "x"), LineStopped("b", "y"), LineResumed("c", "z")
    assert stop([]) == ""
    assert stop([first]) == "a since 01"
    assert stop([first, second]) == "b since 01", "for the newest reason, since the first"
    assert stop([first, go]) == ""
    assert stop([first, go, second]) == "b since 03"


def test_a_hotfix_goes_past_everything_but_a_stopped_line() -> None:
    lane = Lane(LaneKind.HOTFIX, "checkout is down", "ada")
    past = {barrier for barrier in Barrier if lane.why_past(barrier)}
    assert past == set(Barrier) - {Barrier.LINE}
    assert not any(NORMAL_LANE.why_past(barrier) for barrier in Barrier)
    assert not any(Lane(LaneKind.PATCH, "weekly").why_past(barrier) for barrier in Barrier)


def test_a_bypass_is_named_with_its_reason() -> None:
    assert bypass_named("start-gate=it mends that") == Bypass(Barrier.START, "it mends that")
    for wrong in ("", "window", "window=", "window= ", "judge=hurry", "evidence=hurry"):
        with pytest.raises(InvalidInputError, match="GATE=REASON"):
            bypass_named(wrong)


@pytest.mark.parametrize(
    ("kind", "reason", "bypasses"),
    [
        (LaneKind.HOTFIX, " ", ()),
        (LaneKind.NORMAL, "because", ()),
        (LaneKind.NORMAL, "", (Bypass(Barrier.WINDOW, ""),)),
    ],
)
def test_reason_and_lane_belong_together(
    kind: LaneKind, reason: str, bypasses: tuple[Bypass, ...]
) -> None:
    with pytest.raises(InvalidInputError):
        lane_of(kind, reason, "", bypasses)


def test_who_was_hurried_is_retold_as_it_was_judged() -> None:
    started = RolloutStarted(PROD, artifact(1), 2, "")
    told = chained(
        [line("r1", bypassed(Barrier.OBSERVATION)), line("r1", started), line("r1", WINDOW)]
    )
    (course,) = courses(told, "hello", "r1")
    assert course.hurried
    (other,) = courses(chained([line("r1", WINDOW), line("r1", started)]), "hello", "r1")
    assert not other.hurried
