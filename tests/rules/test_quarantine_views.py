"""What people and machines are told of quarantines: what is held, where it runs, what was done about it."""

import io
import json
from dataclasses import replace
from datetime import timedelta

from rich.console import Console, RenderableType

from flows.quarantine import Found, Place, Whereabouts
from flows.quarantine_views import (
    in_force_lines,
    listed_json,
    listed_table,
    outcome_json,
    outcome_view,
)
from flows.replacing import Replaced
from tasks.admit.quarantine import Certainty, Hit
from tasks.evidence import Quarantine, QuarantineKind
from tests.support.events import NOON, PROD, artifact

LEAKY = Quarantine(QuarantineKind.PACKAGE, "leaky@*", "stolen key", "ada", NOON)
HELD = Found(PROD, Place.STABLE, "r2", artifact(2), Hit(LEAKY, Certainty.HELD, "it contains leaky"))
UNSURE = replace(
    HELD, place=Place.WARM, release="r1", hit=Hit(LEAKY, Certainty.COULD_NOT_TELL, "no bill")
)
NOWHERE = Whereabouts(())
SOMEWHERE = Whereabouts((HELD, UNSURE), ("hello far: no answer",))


def shown(view: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(view)
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()


def test_a_list_says_by_whom_why_until_when_and_where_it_runs_for_certain_or_not() -> None:
    text = shown(listed_table([(LEAKY, SOMEWHERE)], NOON))
    for words in (
        "the package leaky@* is quarantined by ada until it is lifted: stolen key",
        "hello prod: r2 (000000000000, stable): it contains leaky\n",
        "hello prod: r1 (000000000000, warm): no bill (nobody could tell)",
        "hello far: no answer: could not be asked",
    ):
        assert words in text
    assert "runs nowhere" in shown(listed_table([(LEAKY, NOWHERE)], NOON))
    assert "Nothing is quarantined" in shown(listed_table([], NOON))


def test_one_that_is_over_says_so() -> None:
    over = replace(LEAKY, until=NOON + timedelta(hours=1))
    later = NOON + timedelta(hours=2)
    assert "(over)" in shown(listed_table([(over, NOWHERE)], later))
    assert [one["in_force"] for one in listed_json([(over, NOWHERE)], later)] == [False]
    assert [one["in_force"] for one in listed_json([(over, NOWHERE)], NOON)] == [True]


def test_an_outcome_shows_what_was_what_is_now_and_what_still_runs() -> None:
    done = [
        Replaced("hello", "prod", "r2 (2)", "r1 (1)", "rolled back to r1"),
        Replaced("hello", "far", "r2 (2)", "r2 (2)", "cannot go back", failed=True),
    ]
    text = shown(outcome_view(LEAKY, done, SOMEWHERE, asked=True))
    for words in ("hello prod", "r1 (1)", "rolled back to r1", "cannot go back", "It still runs:"):
        assert words in text
    assert "--replace" not in text
    asked_not = shown(outcome_view(LEAKY, [], SOMEWHERE, asked=False))
    assert "`--replace` rolls these back" in asked_not
    assert "It runs nowhere." in shown(outcome_view(LEAKY, done, NOWHERE, asked=True))


def test_machines_are_told_the_same_and_it_is_plain_json() -> None:
    done = [Replaced("hello", "prod", "r2 (2)", "r1 (1)", "rolled back to r1")]
    told = json.loads(json.dumps(outcome_json(LEAKY, done, SOMEWHERE)))
    assert (told["kind"], told["what"], told["by"], told["until"]) == (
        "package",
        "leaky@*",
        "ada",
        None,
    )
    assert [(one["release"], one["as"], one["certainty"]) for one in told["runs"]] == [
        ("r2", "stable", "held"),
        ("r1", "warm", "could not tell"),
    ]
    assert told["not_asked"] == ["hello far: no answer"]
    assert told["replaced"][0]["is_now"] == "r1 (1)"


def test_what_somebody_wrote_cannot_break_the_line() -> None:
    evil = replace(LEAKY, reason="line\nbreak \x1b[2K")
    text = shown(listed_table([(evil, NOWHERE)], NOON))
    assert "line / break" in text
    assert "\x1b[2K" not in text
    status = "".join(map(shown, in_force_lines([evil])))
    assert "1 quarantine in force" in status
    assert "\x1b[2K" not in status
    assert list(in_force_lines([])) == []
