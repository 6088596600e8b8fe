"""The pictures of the README are there, small, and of what they say: `python -m tests.support.pictures` takes them."""

import re
import struct
from pathlib import Path

from tests.support.pictures import FOLDER, LARGEST_BYTES, WIDTH

README = Path(__file__).parent.parent / "README.md"
NAMED = re.findall(r"deployments/pictures/([\w-]+\.png)", README.read_text())


def size_of(picture: Path) -> tuple[int, int]:
    """Width and height in pixels, from the head of a PNG (RFC 2083, 11.2.2)."""
    head = picture.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def test_the_readme_shows_every_picture_that_is_there_and_no_other() -> None:
    assert set(NAMED) == {one.name for one in FOLDER.glob("*.png")}
    assert 3 <= len(set(NAMED)) <= 5


def test_each_picture_is_small_and_can_be_read() -> None:
    for one in FOLDER.glob("*.png"):
        width, height = size_of(one)
        assert one.stat().st_size < LARGEST_BYTES, one.name
        assert 480 <= width <= WIDTH, one.name
        assert 480 <= height <= 1000, one.name


def test_nothing_else_lies_beside_them() -> None:
    assert {one.suffix for one in FOLDER.iterdir()} == {".png"}
