"""What people see in a terminal: answers on standard output, the story and errors on standard error.

Every renderer takes plain values and returns something Rich can print; in a pipe the same lines come without colour.
"""

import logging
import os
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from rich.console import Console, RenderableType
from rich.text import Text

from flows import strip
from flows.course import Course
from flows.plain import (
    Check,
    chain_json,
    checks_json,
    history_json,
    plan_json,
    status_json,
    users_saw_json,
)
from flows.story import LOGGER, Tone
from flows.views import chain, checks, history, outcome, plan, status, users_saw
from flows.words import one_line
from tasks.errors import BakewellError, InvalidInputError, TransientError

__all__ = [  # views and `--json` have their own files; the command asks for all of it here
    "Check",
    "chain",
    "chain_json",
    "chapter",
    "checks",
    "checks_json",
    "history",
    "history_json",
    "listen",
    "out",
    "outcome",
    "picture",
    "plan",
    "plan_json",
    "show_error",
    "status",
    "status_json",
    "users_saw",
    "users_saw_json",
]

# Mark, the same in plain ASCII, word and colour. The word is for those who see neither.
MARKS: Final = {
    Tone.STEP: ("→", "-", "", ""),
    Tone.GOOD: ("✓", "+", "ok", "green"),
    Tone.BAD: ("✗", "x", "STOP", "bold red"),
    Tone.WAIT: ("…", ".", "wait", "dim"),
    Tone.WARN: ("!", "!", "WARN", "yellow"),
}


class _Console(Console):
    """Whoever read has left (`| head`): nothing more is printed, and what is being done goes on. Rich would exit, in
    the middle of a rollout."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self.file.fileno())


def _console(error: bool = False) -> Console:
    """Made when used: whoever captures or redirects a stream gets what is printed. A pipe has no width to keep to."""
    stream = sys.stderr if error else sys.stdout
    with suppress(AttributeError, ValueError):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    console = _Console(file=stream, highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console.width = 2000
    return console


def _ascii_only(console: Console) -> bool:
    return console.encoding.lower().replace("-", "") not in ("utf8", "utf16", "utf32")


def is_ascii_only() -> bool:
    """Can standard output show nothing but ASCII?"""
    return _ascii_only(_console())


def out(answer: RenderableType) -> None:
    """To standard output. A string is printed as it is: it may hold what users wrote, so `[…]` is no markup."""
    console = _console()
    console.print(answer, soft_wrap=isinstance(answer, str))


def chapter(number: int, title: str) -> None:
    """A heading in a longer story."""
    out(Text(f"\n{number}. {title}", style="bold"))


# ---- the story, live -----------------------------------------------------------------------------


class _Teller(logging.Handler):
    """One line per sentence: elapsed time, mark and word, where, what. No spinners: a pipe keeps every line."""

    def __init__(self) -> None:
        super().__init__()
        self.began = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        console = _console(error=True)
        tone = getattr(record, "tone", Tone.STEP)
        words = getattr(record, "line", None) or record.getMessage()
        line = story_line(
            time.monotonic() - self.began,
            tone,
            words,
            getattr(record, "where", ""),
            _ascii_only(console),
        )
        with suppress(OSError, ValueError):  # a full disk or a closed stream must not end a rollout
            console.print(line, soft_wrap=not console.is_terminal)


def story_line(
    seconds: float, tone: Tone, words: str, where: str = "", ascii_only: bool = False
) -> Text:
    """`  12.3 s ✓ ok    hello r3 in production: …`. What users wrote cannot break the line."""
    fancy, plain, word, colour = MARKS[tone]
    line = Text(f"{seconds:7.1f} s ", style="dim")
    line.append(f"{plain if ascii_only else fancy} {word:<4} ", style=colour or "default")
    if where:
        line.append(f"{one_line(where)}: ", style="bold")
    line.append(one_line(words), style=colour if tone in (Tone.BAD, Tone.WARN) else "")
    return line


def listen() -> None:
    """Tell the story on standard error from now on. Once is enough; again starts the clock anew."""
    for handler in [one for one in LOGGER.handlers if isinstance(one, _Teller)]:
        LOGGER.removeHandler(handler)
    LOGGER.addHandler(_Teller())
    LOGGER.setLevel(logging.INFO)


def show_error(error: BaseException | str, hint: str = "") -> None:
    """What was asked, what was found, what to do next: one sentence each, and no traceback."""
    _console(error=True).print(error_text(error, hint), soft_wrap=True)


def error_text(error: BaseException | str, hint: str = "") -> Text:
    """The causes are named where the message does not hold them already."""
    line = Text(f"{_kind(error)}: ", style="bold red")
    message = one_line(str(error)) or type(error).__name__
    line.append(message, style="default")
    for cause in _causes(error):
        if cause not in message:
            line.append(f"\n  because: {cause}", style="default")
    if hint:
        line.append(f"\n  next: {hint}", style="default")
    return line


def _kind(error: BaseException | str) -> str:
    match error:
        case str():
            return "error"
        case InvalidInputError():
            return "cannot be used"
        case TransientError():
            return "no answer"
        case BakewellError():
            return "refused"
        case _:
            return "error"


def _causes(error: BaseException | str) -> Iterable[str]:
    cause = error.__cause__ if isinstance(error, BaseException) else None
    while cause is not None:
        if words := one_line(str(cause)):
            yield words
        cause = cause.__cause__


def picture(course: Course) -> RenderableType:
    """Who answered users during a rollout, and how much failed."""
    return strip.strip(course, _ascii_only(_console()))
