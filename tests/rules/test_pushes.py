"""What the journal's lines make of pushes: open, in flight, known, superseded."""

from datetime import UTC, datetime

from tasks.journal.pushes import (
    DropCause,
    PushAccepted,
    PushDropped,
    PushEnded,
    PushFold,
    PushTaken,
    in_flight_of,
    sort_open,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
Body = PushAccepted | PushTaken | PushDropped | PushEnded


def accepted(commit: str, ref: str = "main", delivery: str = "") -> PushAccepted:
    return PushAccepted("github", delivery or commit, "shop", ref, commit, "cart", "ada")


def folded(*bodies: Body, service: str = "cart") -> PushFold:
    fold = PushFold()
    for number, body in enumerate(bodies, 1):
        fold.add((number, service, NOON, body))
    return fold


def test_a_push_is_open_until_it_is_taken_and_in_flight_until_its_run_has_ended() -> None:
    lines: tuple[Body, ...] = (accepted("a"), PushTaken(1, ""), PushTaken(1, "run"))
    assert list(folded(*lines[:1]).pushes.open) == [1]
    promised = in_flight_of("cart", folded(*lines[:2]).pushes)
    assert promised is not None
    assert promised.flow_run == ""
    taken = in_flight_of("cart", folded(*lines).pushes)
    assert taken is not None
    assert taken.flow_run == "run"
    ended = folded(*lines, PushEnded(1, True, "promoted")).pushes
    assert not ended.open
    assert not ended.in_flight


def test_the_newest_push_of_a_branch_supersedes_the_others_of_that_branch() -> None:
    fold = folded(accepted("a"), accepted("b", "release/1"), accepted("c"), accepted("d"))
    found = sort_open("cart", fold.pushes)
    assert [one.body.commit for one in found.next] == ["b", "d"]
    assert [(old.body.commit, new.body.commit) for old, new in found.superseded] == [
        ("a", "d"),
        ("c", "d"),
    ]
    assert sort_open("mail", fold.pushes).next == ()


def test_what_was_accepted_is_known_by_its_delivery_and_by_its_commit_also_when_superseded() -> (
    None
):
    fold = folded(accepted("a", delivery="x"), PushDropped(1, "newer", DropCause.SUPERSEDED))
    assert fold.knows_delivery("shop", "x")
    assert not fold.knows_delivery("other", "x")
    assert fold.knows_commit("cart", "a")
    assert not fold.knows_commit("mail", "a")


def test_what_was_refused_may_be_delivered_again() -> None:
    fold = folded(accepted("a", delivery="x"), PushTaken(1, ""), PushDropped(1, "no"))
    assert not fold.knows_delivery("shop", "x")
    assert not fold.knows_commit("cart", "a")
    assert not fold.pushes.in_flight


def test_lines_read_twice_change_nothing() -> None:
    lines: tuple[Body, ...] = (accepted("a"), PushTaken(1, "run"), PushEnded(1, True, "done"))
    fold = folded(*lines)
    for number, body in enumerate(lines, 1):
        fold.add((number, "cart", NOON, body))
    assert not fold.pushes.open
    assert not fold.pushes.in_flight
