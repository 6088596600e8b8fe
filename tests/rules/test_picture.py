"""The picture of a rollout for web pages: well-formed, inside its frame, with the words a reader needs."""

from dataclasses import replace
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.course import Course, Ending, courses
from flows.drawing import Scale, apart, nice_ticks, shortened
from flows.picture import HEIGHT, LEFT, LOW_PANEL, RIGHT, TOP_PANEL, WIDTH, markdown_picture, svg
from tasks.model import Environment, Sample
from tests.support.pages import HOSTILE, images, kinds, parsed, paths, places_of, texts_of, words_of
from tests.support.rollouts import PLACE, course, seen, unseen, usual
from tests.support.told import three_releases

LONG = Environment("s" * 63, "e" * 63, "process", 8080)
ODD: dict[str, Course] = {
    "rolled back": usual(failing=3),
    "promoted": usual(),
    "goes on": replace(usual(), ending=Ending.GOES_ON),
    "no sample": course(),
    "one sample": course(seen(1, r3=(1, 1))),
    "only blind": course(*(unseen(at) for at in range(1, 9))),
    "blind at the end": course(seen(1, r2=(9, 0), r3=(1, 0)), unseen(10)),
    "no requests": course(seen(1, r2=(0, 0), r3=(0, 0))),
    "no time": course(seen(0, seconds=0, r3=(4, 1)), seconds=0),
    "more failures than requests": course(seen(1, r3=(4, 9))),
    "a long time": usual(failing=1, count=400),
    "days": course(seen(1, r3=(1, 0)), seconds=200_000),
    "huge": course(seen(1, r2=(10**12, 0), r3=(10**9, 10**9))),
    "no steps": replace(usual(), steps=(), verdicts=()),
    "long names": replace(usual(failing=3), environment=LONG),
    "many groups": course(
        Sample(
            usual().seen[0].at,
            1,
            tuple(
                replace(one, group=f"r{n}")
                for n in range(100)
                for one in seen(1, r3=(5, 1)).instances
            ),
        )
    ),
    "hostile": replace(
        course(unseen(1, HOSTILE), seen(2, r3=(1, 0))), environment=replace(PLACE, name=HOSTILE)
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_it_is_well_formed_and_stays_inside_its_frame(name: str) -> None:
    drawn = svg(ODD[name])
    assert parsed(drawn).tag.endswith("svg")
    for x, y in places_of(drawn):
        assert 0 <= x <= WIDTH, name
        assert 0 <= y <= HEIGHT, name
    for xs, ys in paths(drawn):
        assert LEFT <= min(xs) <= max(xs) <= WIDTH - RIGHT
        assert TOP_PANEL[0] <= min(ys) <= max(ys) <= sum(LOW_PANEL)


def test_a_rollback_is_told_in_words_and_numbers() -> None:
    words = words_of(svg(courses(three_releases().events, "hello", "r3")[1]))
    assert words[0] == "hello r3 in production: rolled back after 8.6 s"
    for expected in (
        "r3 (new)",
        "r2 (old)",
        "r3-baseline (old, freshly started)",
        "start",
        "10 %",
        "rolled back here",
        "1 % allowed",
        "seconds since the rollout began",
        "0",
        "0 %",
    ):
        assert expected in words


def test_what_goes_on_has_no_end_in_the_picture() -> None:
    assert not [one for one in words_of(svg(ODD["goes on"])) if one.endswith(" here")]
    assert "goes on since 10 s" in words_of(svg(ODD["goes on"]))[0]


def test_blindness_is_hatched_and_said_and_not_drawn_as_good() -> None:
    drawn = svg(ODD["only blind"])
    assert drawn.count('fill="url(#blind)"') == 2, "in both panels, once"
    assert "not seen" in words_of(drawn)
    assert paths(drawn) == [], "no line says that nothing failed"


def test_a_view_that_was_lost_often_does_not_write_words_over_each_other() -> None:
    flapping = (seen(at, r3=(1, 0)) if at % 2 else unseen(at) for at in range(1, 100))
    drawn = svg(course(*flapping, seconds=100))
    placed = [x for x, _, words in texts_of(drawn) if words == "not seen"]
    assert 2 < len(placed) < 15
    assert all(after - before > 50 for before, after in pairwise(placed))


def test_a_group_that_answered_nothing_has_no_line_at_zero_failures() -> None:
    assert paths(svg(course(seen(1, r2=(0, 0), r3=(0, 0))))) == []


def test_long_names_do_not_hide_how_it_ended() -> None:
    title = words_of(svg(ODD["long names"]))[0]
    assert title.endswith("…: rolled back after 10 s")
    assert len(title) <= 64


def test_it_becomes_one_line_of_markdown_that_says_what_it_shows() -> None:
    line = markdown_picture(usual(failing=2))
    ((source, said),) = images(line)
    assert source.startswith("data:image/svg+xml;base64,")
    assert "of its 90 requests 20 % failed" in said
    assert "\n" not in line
    assert markdown_picture(course()) == "", "nothing was observed: no picture"


def test_hostile_names_cannot_end_the_image() -> None:
    line = markdown_picture(ODD["hostile"])
    assert len(images(line)) == 1
    assert not kinds(line) & {"link_open", "html_inline", "html_block"}


# ---- the pen -------------------------------------------------------------------------------------


@given(st.floats(1e-6, 1e12), st.integers(2, 10))
def test_ticks_are_round_few_and_reach_the_top(most: float, count: int) -> None:
    ticks = nice_ticks(most, count)
    assert ticks[0] == 0
    assert ticks[-1] >= most * 0.999
    assert 2 <= len(ticks) <= count + 2
    assert f"{ticks[1]:e}"[0] in "125"


def test_nothing_at_all_has_ticks_too() -> None:
    assert nice_ticks(0) == (0.0, 1.0)


@given(st.lists(st.floats(-1e6, 1e6), max_size=12))
def test_labels_stand_apart_inside_their_panel_in_the_order_of_their_lines(
    wanted: list[float],
) -> None:
    placed = apart(wanted, 17, 70, 280)
    assert len(placed) == len(wanted)
    assert all(70 <= place <= 280 for place in placed)
    order = sorted(range(len(wanted)), key=lambda number: wanted[number])
    gaps = [placed[b] - placed[a] for a, b in pairwise(order)]
    assert all(gap >= 16.8 for gap in gaps)


def test_labels_that_have_room_stand_where_they_are_wanted() -> None:
    assert apart([200, 100], 17, 70, 280) == [200, 100]


def test_a_scale_keeps_everything_inside_its_panel() -> None:
    scale = Scale(0, 10, 100, 0)
    assert [scale(one) for one in (-inf, 0, 5, 10, inf, 1e300)] == [100, 100, 50, 0, 0, 0]


def test_what_is_shortened_says_so() -> None:
    assert shortened("requests", 8) == "requests"
    assert shortened("too slow requests", 8) == "too slo…"
