"""The picture of the evidence: well-formed, every point inside its panel, round ticks, thresholds that can be read."""

from itertools import pairwise
from math import inf, log, nan
from typing import Final

import pytest
from pydantic import JsonValue

from flows.course import courses
from flows.evidence_plot import (
    AT_MOST,
    BOTTOM,
    COLOURS,
    HEIGHT,
    LEFT,
    ODDS,
    RIGHT,
    TOGETHER,
    TOP,
    WIDTH,
    last,
    markdown_plot,
    power,
    series,
    svg,
)
from flows.retelling import Look, looks
from tasks.model import Judgement, Verdict
from tests.support.pages import HOSTILE, images, parsed, places_of, polylines, texts_of, words_of
from tests.support.told import SPEC, three_releases

NEEDED: Final = log(100)


def look(seconds: float, **numbers: JsonValue) -> Look:
    """`errors__log_odds=3` is `errors: log odds`."""
    found = {name.replace("__", ": ").replace("_", " "): one for name, one in numbers.items()}
    found["log_odds_needed"] = NEEDED
    return Look(seconds, "10 %", Judgement(Verdict.KEEP_OBSERVING, "so far", found))


def growing(count: int = 10, by: float = 1.0) -> list[Look]:
    return [
        look(at, errors__log_odds=by * at, errors__at_most=0.5 / at, errors__margin=0.005)
        for at in range(1, count + 1)
    ]


ODD: dict[str, list[Look]] = {
    "usual": growing(),
    "one look": growing(1),
    "looks at one moment": [look(0, errors__log_odds=1), look(0, errors__log_odds=2)],
    "infinite": growing(by=inf),
    "minus infinite": growing(by=-inf),
    "huge": growing(by=1e300),
    "tiny": growing(by=-1e300),
    "never a number": [look(1, errors__log_odds=nan, memory__log_odds=1.0)],
    "claims out of bounds": [
        look(1, errors__log_odds=0, errors__at_most=at_most, errors__margin=0.9)
        for at_most in (inf, -inf, 1.0, -1.0)
    ],
    "nothing needed": [Look(1, "", Judgement(Verdict.PROMOTE, "", {"errors: log odds": 1.0}))],
    "days": [look(86_400.0 * at, errors__log_odds=at) for at in range(9)],
    "many metrics": [look(at, **{f"m{n}__log_odds": n / 99 for n in range(20)}) for at in (1, 2)],
    "hostile": [
        Look(at, HOSTILE, Judgement(Verdict.PROMOTE, HOSTILE, {f"{HOSTILE}{ODDS}": 1.0}))
        for at in (1, 2)
    ],
}


@pytest.mark.parametrize("name", ODD)
def test_it_is_well_formed_and_every_point_is_inside_its_panel(name: str) -> None:
    drawn = svg(ODD[name], HOSTILE if name == "hostile" else "hello r3 in production")
    assert parsed(drawn).tag.endswith("svg")
    for x, y in places_of(drawn):
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT
    for points in polylines(drawn):
        panel = TOP if points[0][1] <= TOP[1] else BOTTOM
        assert all(LEFT <= x <= WIDTH - RIGHT for x, _ in points)
        assert all(panel[0] <= y <= panel[1] for _, y in points)


def test_a_bad_release_climbs_above_the_threshold_that_is_named() -> None:
    course = courses(three_releases().events, "hello", "r3")[1]
    drawn = svg(looks(course, SPEC), course.name)
    words = words_of(drawn)
    assert words[0] == "hello r3 in production: the evidence"
    for expected in ("roll back from 200:1", "promoted below 0.5", "errors", "1:1", "100:1"):
        assert expected in words
    (threshold,) = [y for _, y, words in texts_of(drawn) if words.startswith("roll back")]
    errors = polylines(drawn)[0]
    assert errors[0][1] > threshold > errors[-1][1]


def test_each_panel_has_few_round_ticks_and_one_at_zero() -> None:
    texts = texts_of(svg(growing(), "it"))
    ticks = [words for x, y, words in texts if 16 < x < LEFT and y < TOP[1] + 20]
    assert ticks == ["1:100", "1:1", "100:1", "10,000:1", "10⁶:1"]
    below = [words for x, y, words in texts if 16 < x < LEFT and y > BOTTOM[0]]
    assert below[:2] in (["0", "1"], ["0", "2"])


def test_labels_of_lines_that_end_together_stand_apart() -> None:
    same = [look(at, errors__log_odds=1, memory__log_odds=1, slow__log_odds=1.01) for at in (1, 2)]
    names = [(y, words) for x, y, words in texts_of(svg(same, "it")) if x > WIDTH - RIGHT]
    assert {words for _, words in names} == {"errors", "memory", "slow"}
    assert all(after - before >= 16 for before, after in pairwise(sorted(y for y, _ in names)))


def test_what_is_held_against_the_threshold_is_drawn_beside_its_parts() -> None:
    shown = [look(at, errors__log_odds=at, memory__log_odds=0) for at in (1, 2)]
    numbered = [
        Look(
            one.seconds,
            one.step,
            Judgement(
                Verdict.KEEP_OBSERVING, "", {**one.judgement.numbers, "log_odds": one.seconds / 2}
            ),
        )
        for one in shown
    ]
    assert TOGETHER in words_of(svg(numbered, "it"))
    assert TOGETHER not in words_of(svg(growing(), "it")), "of one metric it is that metric"


def test_margins_that_differ_say_whose_they_are() -> None:
    two = look(
        1,
        errors__log_odds=0,
        slow__log_odds=0,
        errors__at_most=0.1,
        slow__at_most=0.1,
        errors__margin=0.005,
        slow__margin=0.01,
    )
    assert "promoted below 0.5 (errors), 1 (slow)" in words_of(svg([two], "it"))


def test_a_metric_keeps_its_colour_in_both_panels() -> None:
    drawn = svg(growing(), "it")
    assert drawn.count(f'stroke="{COLOURS[0]}"') == 2


def test_without_evidence_there_is_no_picture() -> None:
    assert markdown_plot([], "it") == ""
    assert markdown_plot([look(1)], "it") == ""


def test_it_becomes_one_line_of_markdown() -> None:
    line = markdown_plot(growing(), f"hello r3 in {HOSTILE}")
    ((source, said),) = images(line)
    assert source.startswith("data:image/svg+xml;base64,")
    assert said.startswith("the evidence about hello r3 in")
    assert len(line.splitlines()) == 1


def test_series_leave_out_what_is_no_number() -> None:
    shown = [
        look(1, errors__log_odds="many"),
        look(2, errors__log_odds=True),
        look(3, errors__log_odds=1),
    ]
    assert series(shown, ODDS) == {"errors": [(3, 1.0)]}
    assert series(shown, AT_MOST) == {}
    assert last(shown, "log_odds_needed", 0) == NEEDED
    assert last(shown, "nothing of that name", 7) == 7


@pytest.mark.parametrize(
    ("odds", "words"),
    [
        (0, "1:1"),
        (log(340), "340:1"),
        (-log(20), "1:20"),
        (log(1e9), "1,000,000,000:1"),
        (25, "more than a billion to 1"),
        (inf, "more than a billion to 1"),
        (-5000, "1 to more than a billion"),
        (-inf, "1 to more than a billion"),
    ],
)
def test_odds_are_told_as_people_say_them(odds: float, words: str) -> None:
    assert power(odds) == words
