"""What BuildKit tells, read from its wire format: steps and their lines; and nothing of what is no such message."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from tasks.adapters.buildkit_trace import LAST_LINES, Told


def varint(number: int) -> bytes:
    found = b""
    while number >= 0x80:
        found, number = found + bytes([number & 0x7F | 0x80]), number >> 7
    return found + bytes([number])


def part(number: int, value: bytes | int) -> bytes:
    """A field as protobuf writes it."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def vertex(digest: str, name: str, *more: bytes) -> bytes:
    return part(1, part(1, digest.encode()) + part(3, name.encode()) + b"".join(more))


def log(digest: str, text: str) -> bytes:
    return part(3, part(1, digest.encode()) + part(3, 1) + part(4, text.encode()))


STARTED, CACHED = part(5, b""), part(4, 1)


def told(*messages: bytes) -> tuple[Told, list[str]]:
    listener = Told()
    lines = [line for one in messages for line in listener.lines(base64.b64encode(one).decode())]
    return listener, lines


def test_a_step_is_told_once_when_it_begins_and_its_lines_below_it() -> None:
    _, lines = told(
        vertex("a", "[1/2] FROM base") + vertex("i", "[internal] load", STARTED),
        vertex("a", "[1/2] FROM base", CACHED),
        vertex("b", "[2/2] RUN make " * 20, STARTED),
        vertex("b", "[2/2] RUN make", STARTED) + log("b", "one\ntwo\n"),
    )
    assert lines == ["[1/2] FROM base (cached)", "[2/2] RUN make " * 20, "  one", "  two"]


def test_of_a_failed_step_the_last_lines_are_kept() -> None:
    many = "\n".join(map(str, range(100)))
    listener, _ = told(
        vertex("b", "RUN make", STARTED) + log("b", many) + log("c", "another step's"),
        vertex("b", "RUN make", STARTED, part(7, b"exit code: 1")),
    )
    name, *last = listener.failure.splitlines()
    assert name == "RUN make"
    assert last == [str(number) for number in range(100)][-LAST_LINES:]
    assert Told().failure == ""


@given(st.binary(max_size=60))
def test_what_is_no_message_does_not_stop_a_build(raw: bytes) -> None:
    told(raw, part(1, raw), part(3, raw))
    listener = Told()
    list(listener.lines(raw.decode("latin-1")))
    assert list(listener.lines(None)) == []
