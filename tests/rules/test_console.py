"""The terminal: one sentence an error, what to do next, and nothing that others wrote or whoever reads can break."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pytest
from rich.text import Text

from flows import console
from flows.stopped import StoppedError
from flows.story import LOGGER, Tone, tell
from tasks.errors import (
    BakewellError,
    InvalidInputError,
    NotAdmittedError,
    TransientError,
)
from tasks.model import Judgement, Verdict
from tests.support.pages import HOSTILE
from tests.support.rollouts import usual


@pytest.fixture(autouse=True)
def quiet_again() -> Iterator[None]:
    """Who listens to the story is forgotten after each test."""
    before, level = list(LOGGER.handlers), LOGGER.level
    yield
    LOGGER.handlers[:] = before
    LOGGER.setLevel(level)


@contextmanager
def ascii_only() -> Iterator[io.BytesIO]:
    """Standard output and error are a terminal's that knows nothing but ASCII."""
    found = io.BytesIO()
    stream = io.TextIOWrapper(found, encoding="ascii", write_through=True)
    with redirect_stdout(stream), redirect_stderr(stream):
        yield found


@contextmanager
def nobody_reads() -> Iterator[None]:
    """Both streams are pipes whose readers have left."""
    (reads, out), (also_reads, err) = os.pipe(), os.pipe()
    os.close(reads)
    os.close(also_reads)
    with (
        open(out, "w", buffering=1, encoding="utf-8") as stdout,
        open(err, "w", buffering=1, encoding="utf-8") as stderr,
        redirect_stdout(stdout),
        redirect_stderr(stderr),
    ):
        yield


# ---- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (InvalidInputError("asked for -1"), "cannot be used"),
        (TransientError("asked, and nobody answered"), "no answer"),
        (NotAdmittedError("no signature"), "refused"),
        (BakewellError("it was so"), "refused"),
        (StoppedError("hello", Judgement(Verdict.ROLL_BACK, "slow")), "refused"),
        (RuntimeError("a fault"), "error"),
        ("in words", "error"),
    ],
)
def test_an_error_says_in_a_word_what_kind_it_is(error: BaseException | str, word: str) -> None:
    assert console.error_text(error).plain == f"{word}: {error}"


def test_an_error_is_one_sentence_and_a_hint_on_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.show_error(InvalidInputError("weights must grow"), hint="see `bakewell --help`")
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "cannot be used: weights must grow",
        "  next: see `bakewell --help`",
    ]


def test_causes_are_named_once_from_the_nearest_to_the_farthest() -> None:
    first, second = OSError("disk full"), ValueError("bad page\nof 3")
    second.__cause__ = first
    error = TransientError("could not be written: disk full")
    error.__cause__ = second
    assert console.error_text(error).plain.splitlines() == [
        "no answer: could not be written: disk full",
        "  because: bad page / of 3",
    ]


def test_an_error_without_words_is_named_by_its_kind() -> None:
    assert console.error_text(TransientError()).plain == "no answer: TransientError"


def test_what_others_wrote_is_no_markup_no_new_line_and_moves_no_cursor(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.show_error(InvalidInputError(HOSTILE))
    (line,) = capsys.readouterr().err.splitlines()
    assert "[red]x[/red]" in line
    assert "\x1b" not in line
    console.out("[bold]as it is[/bold] :smile:")
    assert capsys.readouterr().out == "[bold]as it is[/bold] :smile:\n"


# ---- the story -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tone", Tone)
def test_each_tone_has_a_mark_and_the_same_in_ascii(tone: Tone) -> None:
    fancy = console.story_line(12.34, tone, "something happened", "hello prod")
    plain = console.story_line(12.34, tone, "something happened", "hello prod", ascii_only=True)
    assert fancy.plain.endswith("hello prod: something happened")
    assert fancy.plain.startswith("   12.3 s ")
    assert plain.plain.isascii()
    assert plain.plain[10:].split()[0] != "something"


def test_good_and_bad_are_told_apart_without_colour() -> None:
    marks = {console.story_line(0, tone, "", ascii_only=True).plain for tone in Tone}
    assert len(marks) == len(Tone)
    assert "STOP" in console.story_line(0, Tone.BAD, "").plain


def test_a_line_of_the_story_stays_one_line() -> None:
    line = console.story_line(1, Tone.STEP, HOSTILE, HOSTILE).plain
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


def test_the_story_goes_to_standard_error_once_however_often_one_listens(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.listen()
    console.listen()
    tell("it began", Tone.GOOD, where="hello prod")
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("ok    hello prod: it began\n".replace("ok    ", "ok   ")) == 1


# ---- terminals that know less --------------------------------------------------------------------


def test_where_only_ascii_is_known_marks_and_bars_are_ascii() -> None:
    with ascii_only() as found:
        console.listen()
        tell("it began", Tone.GOOD)
        console.out(console.picture(usual(failing=2)))
        said = found.getvalue().decode("ascii")
    assert "+ ok" in said
    assert "####" in said
    assert "rolled back after 10 s" in said


def test_letters_the_terminal_does_not_know_do_not_end_anything() -> None:
    with ascii_only() as found:
        console.out("größer → ≤ 5 ms")
        console.show_error("für Käse", hint="…")
        said = found.getvalue().decode("ascii")
    assert "gr??er ? ? 5 ms" in said
    assert "f?r K?se" in said


# ---- readers who leave ---------------------------------------------------------------------------


def test_a_reader_who_left_ends_nothing() -> None:
    """`bakewell release | head -1`: the rollout goes on. Rich would exit."""
    with nobody_reads():
        console.listen()
        for number in range(3):
            tell(f"step {number}", Tone.GOOD)
            console.out(Text("an answer"))
            console.out("an answer")
        console.show_error("it failed", hint="see the journal")
        console.chapter(1, "A title")


def test_a_stream_that_was_closed_ends_nothing() -> None:
    closed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    closed.close()
    with redirect_stderr(closed):
        console.listen()
        tell("it goes on", Tone.GOOD)


def test_a_pipe_has_no_width_to_keep_to(capsys: pytest.CaptureFixture[str]) -> None:
    console.out("word " * 300)
    assert len(capsys.readouterr().out.splitlines()) == 1
