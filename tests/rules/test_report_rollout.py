"""The page of one rollout: while it goes on, when it has ended, and what it leads to."""

from dataclasses import replace
from math import log

import pytest
from pydantic import JsonValue

from flows.evidence_table import evidence_table
from flows.report_rollout import rollout_page, runs_line
from tasks.journal.rules import fold
from tasks.model import Judgement, Verdict
from tests.support.pages import HOSTILE, images, kinds, plain, row_widths
from tests.support.rollouts import course
from tests.support.told import Told, three_releases

NUMBERS: dict[str, JsonValue] = {
    "errors: log odds": log(340),
    "errors: compared": "instances",
    "errors: at most": 0.02,
    "errors: margin": 0.005,
    "log_odds_needed": log(100),
}


def page_of(told: Told, release: str = "r3", now: Judgement | None = None) -> tuple[str, str]:
    state = fold(told.events).releases["hello", release]
    return rollout_page(state, told.events, "production", now)


def until_sampled(count: int) -> Told:
    """The story of r3, cut off after so many of its samples in production."""
    told = three_releases()
    wanted = ("r3", "production", "sampled")
    sampled = [
        place
        for place, one in enumerate(told.events)
        if (one.release, one.environment, one.kind) == wanted
    ]
    told.events = told.events[: sampled[count] + 1]
    return told


def test_it_says_how_it_ended_and_why() -> None:
    page, words = page_of(three_releases())
    assert page.startswith("# hello r3 in production: rolled back")
    assert words.startswith("hello r3 in production: rolled back")
    assert len(images(page)) == 2
    assert "`bakewell explain hello r3`" in page


def test_while_it_goes_on_it_shows_what_the_judge_sees_and_no_evidence_over_time() -> None:
    now = Judgement(Verdict.KEEP_OBSERVING, "not enough seen", NUMBERS)
    page, _ = page_of(until_sampled(2), now=now)
    assert "goes on" in page.splitlines()[0]
    assert "not enough seen" in page
    assert "340:1" in page
    assert len(images(page)) == 1


def test_before_it_has_begun_there_is_no_page() -> None:
    told = three_releases()
    told.events = [one for one in told.events if one.kind == "release started"]
    assert page_of(told) == ("", "")


def test_each_metric_has_its_row() -> None:
    lines = list(evidence_table({**NUMBERS, "memory: log odds": -log(10)}))
    assert row_widths("\n".join(lines)) == [{5}]
    found = plain("\n".join(lines))
    assert "340:1" in found
    assert "1:10" in found
    assert "rolled back when the odds reach 100:1" in found


def test_what_could_be_compared_with_nothing_is_named_and_has_no_row() -> None:
    nothing: dict[str, JsonValue] = {
        "memory: log odds": 0.0,
        "memory: compared": "nothing to compare with",
    }
    page = "\n".join(evidence_table({**NUMBERS, **nothing}))
    assert "| memory |" not in page
    assert "There was nothing to compare with: memory." in page
    assert row_widths("\n".join(evidence_table(nothing))) == []


@pytest.mark.parametrize("numbers", [{}, {"requests": 12}])
def test_without_evidence_there_is_no_table(numbers: dict[str, JsonValue]) -> None:
    assert list(evidence_table(numbers)) == []


def test_a_rollout_in_the_run_of_its_release_is_not_linked_twice() -> None:
    told = replace(fold(three_releases().events).releases["hello", "r3"], flow_run="one")
    rollouts = [replace(course(), flow_run="one"), replace(course(), flow_run="two")]
    assert runs_line(told, rollouts).count("](") == 2
    assert runs_line(replace(told, flow_run=""), []) == ""


def test_nothing_in_it_can_forge_the_page() -> None:
    now = Judgement(Verdict.KEEP_OBSERVING, HOSTILE, {f"{HOSTILE}: log odds": 1.0})
    page, _ = page_of(until_sampled(2), now=now)
    assert not {"html_block", "html_inline", "link_open"} & kinds(page)
    assert page.count("\n# ") == 0
