"""What people read who are asked for an approval."""

from datetime import timedelta

from flows.asking import difference_lines, question
from flows.differences import Difference, PackageChange, Unknown, VulnerabilityChanges
from flows.words import waiting_words
from tasks.journal.waits import Wait, Waiting, WaitKind
from tests.support.events import NOON, artifact
from tests.support.passages import promoted, spec, started, state


def test_the_form_says_what_would_enter_from_where_and_how_it_did_so_far() -> None:
    found = state(started(2, spec()), *promoted(2, "staging"))
    told = found.releases["hello", "r2"]
    words = question(found, told, spec().environments[1])
    for part in (
        "# May hello r2 enter eu?",
        f"`{artifact(2).short}`",
        "https://git.example/hello@aaaaaaa",
        "| Replaces | nothing |",
        "| In staging | r2 promoted |",
        "`bakewell approve hello eu --reason WHY`",
    ):
        assert part in words


def test_what_is_different_is_told_in_three_lines_and_the_unknown_is_no_difference() -> None:
    bumped = PackageChange("pkg:pypi/own", ("1.0",), ("2.0",))
    known = Difference(artifact(1), artifact(2), (bumped,), VulnerabilityChanges((), ()), (), ())
    first, second, third = difference_lines(known)
    assert "own 1.0 → 2.0" in first
    assert second == "- vulnerabilities: 0 fixed and 0 new"
    assert third == "- 0 files and 0 settings differ"
    unknown = Unknown("no scan")
    blind = Difference(artifact(1), artifact(2), unknown, unknown, (), ())
    assert [line.endswith("not known: no scan") for line in difference_lines(blind)][:2] == [
        True
    ] * 2


def test_what_waits_is_told_with_since_when_until_when_and_what_helps() -> None:
    wait = Wait(WaitKind.APPROVAL, "`bakewell approve hello eu`", NOON + timedelta(hours=1))
    words = waiting_words("r2", Waiting("eu", NOON, wait, NOON), NOON + timedelta(minutes=5))
    assert words == (
        "r2 has waited 5 min for approval, until 2026-03-01 13:00:00 UTC: `bakewell approve hello eu`"
    )
