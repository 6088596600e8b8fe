"""Reading what is shown to people: terminals' lines, Markdown's pieces, words and places of a picture."""

import io
import re
from collections.abc import Iterable
from typing import Final
from xml.etree import ElementTree

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, RenderableType

HOSTILE: Final = (
    "[red]x[/red] a|b <script>alert(1)</script> `code` **bold** ![i](javascript:x) [l](http://evil)\n"
    "| forged | row |\r\n# forged\n\n</title></svg> &amp; \x1b[31m\x07\x00 \u202e" + "w" * 900
)
"""What somebody may write as a reason, or what a service may answer."""


def printed(shown: RenderableType, width: int = 160) -> str:
    """As a pipe gets it."""
    console = Console(file=io.StringIO(), width=width, highlight=False, emoji=False, markup=False)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def flat(shown: RenderableType, width: int = 160) -> str:
    """In one line, whatever was wrapped."""
    return " ".join(printed(shown, width).split())


# ---- Markdown ------------------------------------------------------------------------------------


class _Reader(MarkdownIt):
    """Any address is one, as in Prefect's interface: ours are `data:`, and others' must not get so far."""

    def validateLink(self, url: str) -> bool:
        return True


READER: Final = _Reader("commonmark").enable("table")


def markdown(page: str) -> list[Token]:
    """All tokens, those inside paragraphs and cells too."""
    found: list[Token] = []
    for token in READER.parse(page):
        found += [token, *(token.children or [])]
    return found


def kinds(page: str) -> set[str]:
    return {token.type for token in markdown(page)}


def plain(page: str) -> str:
    """What a reader of the page reads."""
    return " ".join(
        token.content for token in markdown(page) if token.type in ("text", "code_inline")
    )


def images(page: str) -> list[tuple[str, str]]:
    """Source and description of each."""
    return [
        (str(token.attrs["src"]), token.content)
        for token in markdown(page)
        if token.type == "image"
    ]


def row_widths(page: str) -> list[set[int]]:
    """Of each table: how many cells its rows have."""
    tables: list[set[int]] = []
    cells = 0
    for token in markdown(page):
        if token.type == "table_open":
            tables.append(set())
        elif token.type in ("th_open", "td_open"):
            cells += 1
        elif token.type == "tr_close":
            tables[-1].add(cells)
            cells = 0
    return tables


# ---- SVG -----------------------------------------------------------------------------------------


def parsed(svg: str) -> ElementTree.Element:
    """Well-formed, or it fails."""
    return ElementTree.fromstring(svg)


def texts_of(svg: str) -> list[tuple[float, float, str]]:
    """All that is written in it, in order, and where."""
    found = [one for one in parsed(svg).iter() if _name(one) == "text"]
    return [(float(one.attrib["x"]), float(one.attrib["y"]), one.text or "") for one in found]


def words_of(svg: str) -> list[str]:
    return [words for _, _, words in texts_of(svg)]


def places_of(svg: str) -> list[tuple[float, float]]:
    """Of every text and every point of a line."""
    found: list[tuple[float, float]] = []
    for one in parsed(svg).iter():
        name, at = _name(one), one.attrib
        if name == "text":
            found.append((float(at["x"]), float(at["y"])))
        elif name == "line":
            found += [(float(at["x1"]), float(at["y1"])), (float(at["x2"]), float(at["y2"]))]
        elif name == "polyline":
            found += list(_pairs(at["points"]))
        elif name == "rect":
            x, y = float(at.get("x", 0)), float(at.get("y", 0))
            found += [(x, y), (x + float(at["width"]), y + float(at["height"]))]
        elif name == "circle":
            found.append((float(at["cx"]), float(at["cy"])))
    return found


def polylines(svg: str) -> list[list[tuple[float, float]]]:
    return [
        list(_pairs(one.attrib["points"])) for one in parsed(svg).iter() if _name(one) == "polyline"
    ]


def paths(svg: str) -> list[tuple[list[float], list[float]]]:
    """The x and the y of every path of straight lines (`M1 2V3H4Z`)."""
    found = []
    for one in parsed(svg).iter():
        if _name(one) == "path" and (path := one.attrib["d"]) != "M0 0V8":
            moves = re.findall(r"M([-\d.]+) ([-\d.]+)", path)
            xs = [float(x) for x, _ in moves] + [float(x) for x in re.findall(r"H([-\d.]+)", path)]
            ys = [float(y) for _, y in moves] + [float(y) for y in re.findall(r"V([-\d.]+)", path)]
            found.append((xs, ys))
    return found


def _pairs(points: str) -> Iterable[tuple[float, float]]:
    for pair in points.split():
        x, y = pair.split(",")
        yield float(x), float(y)


def _name(one: ElementTree.Element) -> str:
    return one.tag.rpartition("}")[2]
