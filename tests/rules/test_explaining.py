"""Explaining a verdict: evidence per metric, answers per instance, and the whole of it as JSON."""

import json
import re
from dataclasses import replace
from math import inf

import pytest

from flows.course import Ending, courses
from flows.explaining import MOST_MARKS, Explanation, as_json, as_picture
from flows.retelling import Look, looks
from flows.strip import LEVELS
from tasks.model import Judgement, Verdict
from tests.support.pages import HOSTILE, flat, printed
from tests.support.rollouts import LATE, course, seen, unseen, usual
from tests.support.told import SPEC, three_releases


@pytest.fixture(scope="module")
def bad() -> Explanation:
    shown = courses(three_releases().events, "hello", "r3")[1]
    return Explanation(shown, looks(shown, SPEC))


def rising(count: int, by: float = 0.1) -> Explanation:
    """As many looks, each more sure than the one before."""
    found = (
        Look(at, "10 %", Judgement(Verdict.KEEP_OBSERVING, "", {"errors: log odds": by * at}))
        for at in range(1, count + 1)
    )
    return Explanation(usual(), tuple(found))


def sparkline(shown: Explanation) -> str:
    (line,) = [
        one for one in printed(as_picture([shown])).splitlines() if re.match(r" *errors ", one)
    ]
    (marks,) = re.findall(rf"[{LEVELS[1:]}]+", line)
    return str(marks)


def test_it_says_how_it_ended_why_and_after_how_many_looks(bad: Explanation) -> None:
    words = flat(as_picture([bad]))
    for expected in (
        "hello r3 in production: rolled back after 8.6 s",
        "roll back: errors: 20.77% of 183 requests",
        "7 looks in 8.6 s",
        "200:1",
        "ranked",
    ):
        assert expected in words


def test_the_judged_instance_comes_first_with_what_it_answered(bad: Explanation) -> None:
    lines = printed(as_picture([bad])).splitlines()
    rows = [line.split()[0] for line in lines if re.match(r" *r\d\S*-\d", line)]
    assert rows == ["r3-1", "r2-1", "r2-2", "r3-baseline-1", "r3-baseline-2", "r3-baseline-3"]
    assert "183 38 (20.8 %) ≤ 5 ms ≤ 25 ms" in flat(as_picture([bad]))


def test_as_json_has_every_look_with_its_numbers(bad: Explanation) -> None:
    (found,) = json.loads(json.dumps(as_json([bad]), allow_nan=False))
    assert (found["service"], found["environment"], found["release"]) == (
        "hello",
        "production",
        "r3",
    )
    assert found["ending"] == "rolled back"
    assert [one["verdict"] for one in found["looks"]][-1] == "roll back"
    assert found["looks"][-1]["numbers"]["errors: margin"] == pytest.approx(0.005)


@pytest.mark.parametrize("count", [1, 2, 39, 40, 41, 79, 80, 81, 1000])
def test_a_sparkline_has_forty_marks_at_most_and_ends_with_the_newest(count: int) -> None:
    shown = sparkline(rising(count, 4.605 / count))
    assert len(shown) <= MOST_MARKS
    assert shown[-1] == LEVELS[8]


def test_evidence_beyond_all_bounds_is_drawn_as_full_or_as_nothing() -> None:
    assert set(sparkline(rising(5, inf))) == {LEVELS[8]}
    assert "1 to more than a billion" in flat(as_picture([rising(5, -inf)]))


@pytest.mark.parametrize("ending", Ending)
def test_without_looks_it_says_that_nothing_was_observed(ending: Ending) -> None:
    words = flat(as_picture([Explanation(course(ending=ending), ())]))
    assert "no traffic was observed" in words
    assert as_json([Explanation(course(ending=ending), ())])[0] is not None


def test_nothing_to_explain_is_nothing() -> None:
    assert (flat(as_picture([])), as_json([])) == ("", [])


@pytest.mark.parametrize(
    "odd",
    [
        course(unseen(1), unseen(2)),
        course(seen(1, r3=(0, 0))),
        course(seen(1, r2=(5, 0), r3=(5, 5)), ending=Ending.GOES_ON),
    ],
)
def test_odd_rollouts_are_explained_as_far_as_they_were_seen(odd: object) -> None:
    assert isinstance(odd, type(course()))
    words = flat(as_picture([Explanation(odd, looks(odd, SPEC))]))
    assert "keep observing" in words
    assert "nan" not in words


def test_an_instance_that_answered_nothing_has_no_share_of_failures() -> None:
    shown = course(seen(1, r3=(0, 0)))
    assert "r3-1 0 - not measured not measured" in flat(
        as_picture([Explanation(shown, looks(shown, SPEC))])
    )


def test_latency_above_the_last_bound_is_told_as_above_it() -> None:
    sample = seen(1, r3=(9, 0))
    shown = course(replace(sample, instances=(replace(sample.instances[0], latency=LATE),)))
    assert "> 100 ms > 100 ms" in flat(as_picture([Explanation(shown, looks(shown, SPEC))]))


def test_reasons_and_names_are_only_words() -> None:
    sample = seen(1, r3=(9, 0))
    named = replace(sample, instances=(replace(sample.instances[0], instance=HOSTILE),))
    look = Look(1, HOSTILE, Judgement(Verdict.ROLL_BACK, HOSTILE))
    shown = printed(as_picture([Explanation(course(named), (look,))]), 5000)
    assert "\x1b" not in shown
    assert shown.count("[red]x[/red]") == 2
