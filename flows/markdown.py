"""Markdown for Prefect's interface. What users and services wrote cannot break a table, become a link or run as HTML. Pure.

Each paragraph stays on one line: V1 turns a line's end into a line break, V2 does not.
"""

import html
import re
from collections.abc import Iterable, Sequence
from typing import Final

from flows.words import one_line

LONGEST: Final = 600


def text(words: str) -> str:
    """Anything, as plain words inside a paragraph or a table's cell."""
    return _escaped(_shortened(one_line(words)))


def prose(words: str) -> str:
    """The same, but what stands between two backticks, a command or a name, is a code span."""
    parts = re.split(r"(`[^`]+`)", _shortened(one_line(words)))
    return "".join(
        code(one[1:-1]) if number % 2 else _escaped(one) for number, one in enumerate(parts)
    )


def _shortened(plain: str) -> str:
    if len(plain) <= LONGEST:
        return plain
    return f"{plain[:LONGEST]}… ({len(plain) - LONGEST:,} more)"


def _escaped(plain: str) -> str:
    return re.sub(r"([\\`*_{}\[\]#|~$!])", r"\\\1", html.escape(plain, quote=False))


def code(words: str) -> str:
    """A name, digest or command in a code span; inside one, Markdown knows no escapes, so its own marks are replaced."""
    plain = one_line(words).replace("`", "'").replace("|", "¦")
    return f"`{plain}`" if plain else ""


def alternative(words: str) -> str:
    """What an image says to those who cannot see it: nothing in it can end the image, or is Markdown of its own."""
    plain = "".join(mark for mark in one_line(words) if mark not in "[]()`\\*_!")
    return html.escape(plain, quote=False)


def table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[str] = ()
) -> list[str]:
    """`rows` hold Markdown already. Keep cells short: V1 does not wrap them, V2 lets long words stick out. Columns
    named in `numbers` stand to the right."""
    marks = ["--:" if heading in numbers else "---" for heading in headings]
    return [_row(headings), _row(marks), *map(_row, rows), ""]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
