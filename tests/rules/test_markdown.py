"""Markdown that holds what others wrote: it stays what it was, words."""

from hypothesis import given
from hypothesis import strategies as st

from flows.markdown import LONGEST, alternative, code, prose, table, text
from flows.words import one_line
from tests.support.pages import HOSTILE, images, kinds, markdown, plain, row_widths

MARKS = st.text(alphabet="ab \\`*_{}[]()#|~$!<>&-+.:\n\t\"'", max_size=40)


@given(MARKS | st.text(max_size=60))
def test_a_reader_reads_what_was_written(words: str) -> None:
    page = f"It said: {text(words)} (end)"
    assert kinds(page) <= {"paragraph_open", "inline", "text", "paragraph_close", "text_special"}
    read = "".join(one.content for one in markdown(page) if one.type in ("text", "text_special"))
    assert " ".join(read.split()) == " ".join(f"It said: {one_line(words)} (end)".split())


@given(MARKS, MARKS)
def test_nobody_adds_a_cell_or_a_row_to_a_table(words: str, name: str) -> None:
    page = "\n".join(table(("One", "Two"), [(text(words), code(name))]))
    assert row_widths(page) == [{2}]
    assert not kinds(page) & {"link_open", "image", "html_inline", "html_block", "strong_open"}


@given(MARKS | st.text(max_size=60))
def test_prose_holds_nothing_but_words_and_code_spans(words: str) -> None:
    allowed = {"paragraph_open", "inline", "text", "paragraph_close", "text_special", "code_inline"}
    assert kinds(f"It said: {prose(words)} (end)") <= allowed


def test_a_command_within_prose_is_a_code_span_and_a_single_mark_is_none() -> None:
    assert prose("`bakewell drift --heal` does [it]") == r"`bakewell drift --heal` does \[it\]"
    assert prose("5` long") == r"5\` long"


def test_hostile_words_become_no_link_no_image_no_html() -> None:
    page = "\n".join(
        ["# " + text(HOSTILE), "", *table(("A",), [(text(HOSTILE),), (code(HOSTILE),)])]
    )
    assert not kinds(page) & {"link_open", "image", "html_inline", "html_block", "em_open"}
    assert "<script>alert(1)</script>" in plain(page), "it is read, not run"
    assert "forged" in plain(page)


def test_what_is_very_long_says_how_much_was_left_out() -> None:
    assert text("w" * LONGEST) == "w" * LONGEST
    assert text("w" * (LONGEST + 1234)).endswith("w… (1,234 more)")


def test_a_code_span_cannot_be_left_and_an_empty_one_is_nothing() -> None:
    assert code("") == ""
    assert code("a`b|c") == "`a'b¦c`"


@given(MARKS)
def test_the_words_of_an_image_cannot_end_it(words: str) -> None:
    ((source, said),) = images(f"![{alternative(words)}](data:image/svg+xml;base64,AAAA)")
    assert source == "data:image/svg+xml;base64,AAAA"
    assert "[" not in said


def test_small_shares_stay_small_in_the_words_of_an_image() -> None:
    ((_, said),) = images(f"![{alternative('<0.1 % failed')}](x.png)")
    assert said == "&lt;0.1 % failed"
