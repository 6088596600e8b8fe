"""The picture of a rollout in a terminal: who answered, how much failed, and never a guess about what was not seen."""

import re
from dataclasses import replace

import pytest

from flows.bins import bins, in_words, within
from flows.course import Course, Ending
from flows.strip import BAR, LEVELS, MOST_LINES, strip
from tasks.model import LatencyHistogram
from tests.support.pages import HOSTILE, flat, printed
from tests.support.rollouts import LATE, course, judged, seen, unseen, usual
from tests.support.told import BOUNDS_MS


def lines(shown: Course, ascii_only: bool = False, width: int = 80) -> list[str]:
    return printed(strip(shown, ascii_only), width).splitlines()


def moments(shown: Course, ascii_only: bool = False) -> list[str]:
    """The lines of the table: one for each moment."""
    return [line for line in lines(shown, ascii_only) if re.match(r" *[\d.]+ (s|min)", line)]


def test_the_title_says_how_it_ended_and_the_legend_who_is_who() -> None:
    title, legend, *_ = lines(usual(failing=2))
    assert title == "hello r3 in production: rolled back after 10 s"
    assert "r3 (new)" in legend
    assert "r2 (old)" in legend
    assert legend.index("r3") < legend.index("r2"), "the new one stands where the eye begins"


def test_each_moment_has_a_bar_the_share_and_what_failed() -> None:
    first = moments(usual(failing=2))[0]
    assert first.split()[0] == "1"
    assert first.count("█") + first.count("░") == BAR
    assert first.count("█") == round(BAR / 10)
    assert "10 %" in first
    assert "20 %!" in first
    assert first.rstrip().endswith("0 %")


def test_only_more_failures_than_are_allowed_are_marked() -> None:
    few = course(seen(1, r2=(100, 0), r3=(1000, 5)))
    assert "!" not in moments(few)[0]
    assert "!" in moments(replace(few, verdicts=(judged(allowed=0.001),)))[0]
    assert "!" in moments(replace(few, verdicts=()))[0], "nothing was allowed, as far as is known"


def test_whoever_got_anything_at_all_is_seen() -> None:
    bar = moments(course(seen(1, r2=(1_000_000, 0), r3=(1, 0))))[0]
    assert bar.count("█") == 1
    assert bar.count("░") == BAR - 1
    assert "<0.1 %" in bar


def test_a_moment_that_was_not_seen_says_why_and_guesses_nothing() -> None:
    blind = moments(course(seen(1, r2=(9, 0), r3=(1, 0)), unseen(2)))[1]
    assert "not seen: connection refused" in blind
    assert blind.count("?") == 3
    assert "%" not in blind


def test_who_answered_nothing_is_not_told_as_good() -> None:
    silent = moments(course(seen(1, r2=(90, 0), r3=(0, 0))))[0]
    assert silent.split()[-5:] == ["0", "%", "-", "0", "%"]
    nobody = moments(course(seen(1, r2=(0, 0), r3=(0, 0))))[0]
    assert nobody.count("-") == 2


def test_in_plain_ascii_nothing_else_is_used() -> None:
    shown = course(seen(1, r2=(90, 0), r2_baseline=(30, 0), r3=(10, 2)), unseen(2))
    assert "\n".join(lines(shown, ascii_only=True)).isascii()
    assert moments(shown, ascii_only=True)[0].count("#") > 0


@pytest.mark.parametrize("empty", [course(), course(ending=Ending.GOES_ON)])
def test_a_course_without_samples_says_that_nothing_was_observed(empty: Course) -> None:
    assert "no traffic was observed" in flat(strip(empty))


def test_a_course_that_was_never_seen_shows_no_failures() -> None:
    words = flat(strip(course(*(unseen(at) for at in range(1, 5)))))
    assert "not seen: connection refused" in words
    assert "|?|" in words


def test_a_rollout_that_goes_on_does_not_pretend_to_have_ended() -> None:
    assert lines(course(seen(1, r3=(1, 0)), ending=Ending.GOES_ON))[0].endswith(
        "goes on since 10 s"
    )


def test_the_sparkline_rises_with_the_failures_and_names_the_limit() -> None:
    last = lines(course(*(seen(at, r3=(100, at)) for at in range(1, 9))))[-1]
    (marks,) = re.findall(r"\|(.*)\|", last)
    assert [LEVELS.index(mark) for mark in marks] == list(range(1, 9))
    assert "at most 8 %, 1 % allowed" in last


def test_it_fits_a_terminal_however_long_it_took() -> None:
    shown = lines(usual(count=500))
    assert len(shown) <= MOST_LINES + 6
    assert max(map(len, shown)) <= 80


def test_a_view_that_was_lost_again_and_again_does_not_fill_the_screen() -> None:
    flapping = (seen(at, r3=(1, 0)) if at % 2 else unseen(at) for at in range(1, 200))
    shown = course(*flapping, seconds=200)
    assert len(moments(shown)) == MOST_LINES
    assert "earlier moments not shown" in flat(strip(shown))
    assert moments(shown)[-1].split()[0] == "3", "the newest are shown: 3 min 19 s"


def test_what_a_metrics_source_says_cannot_break_a_line() -> None:
    shown = printed(strip(course(unseen(1, "\n\x1b[2J" + HOSTILE))), 80)
    assert "\x1b" not in shown
    assert len(moments(course(unseen(1, HOSTILE)))) == 1


# ---- bins ----------------------------------------------------------------------------------------


def test_bins_lose_no_request() -> None:
    shown = usual(failing=1, count=500)
    found = bins(shown, 14)
    assert len(found) <= 14
    assert sum(one.requests for one in found) == 500 * 100
    assert sum(one.traffic["r3"].failures for one in found) == 500


def test_bins_do_not_bridge_a_gap_or_blindness() -> None:
    shown = course(seen(1, r3=(1, 0)), seen(2, r3=(1, 0)), seen(30, r3=(1, 0)), unseen(31))
    assert [(one.start, one.end) for one in bins(shown, 1)] == [(0, 2), (29, 30), (31, 31)]


def test_a_sample_that_took_no_time_has_no_rate() -> None:
    (one,) = bins(course(seen(1, seconds=0, r3=(5, 0))))
    assert (one.rate("r3"), one.share("r3")) == (0.0, 1.0)


def test_the_words_of_the_picture_say_how_much_it_got_and_how_much_failed() -> None:
    assert in_words(usual(failing=2)) == (
        "hello r3 in production rolled back after 10 s: it got up to 10 % of the requests;"
        " of its 90 requests 20 % failed"
    )
    assert "not seen to answer any request" in in_words(course(unseen(1)))


def test_latency_is_told_as_far_as_the_histogram_knows() -> None:
    assert within(LatencyHistogram(BOUNDS_MS, (9, 1, 0, 0, 0, 0, 0)), 0.9) == "≤ 1 ms"
    assert within(LATE, 0.5) == "> 100 ms"
    assert within(LatencyHistogram(), 0.5) == "not measured"
    assert within(LatencyHistogram((), (3,)), 0.5) == "unknown"
