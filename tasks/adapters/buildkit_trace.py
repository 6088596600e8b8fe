"""What BuildKit tells while it builds: `StatusResponse` messages, read without its generated code, which no package brings.

Spec: moby/buildkit api/services/control/control.proto (StatusResponse, Vertex, VertexLog); wire format:
https://protobuf.dev/programming-guides/encoding. Fields that are not known here are passed over.
"""

import base64
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

LAST_LINES = 20
VERTEXES, LOGS = 1, 3
DIGEST, NAME, CACHED, STARTED, ERROR = 1, 3, 4, 5, 7
OF_VERTEX, MESSAGE = 1, 4


@dataclass
class Told:
    """Lines for people, in order; and the last ones of each step, for when it fails."""

    names: dict[str, str] = field(default_factory=dict)
    last: dict[str, deque[str]] = field(default_factory=dict)
    failed: str = ""

    def lines(self, aux: object) -> Iterator[str]:
        """Of one `moby.buildkit.trace` event. What cannot be read tells nothing: the build does not depend on it."""
        if not isinstance(aux, str):
            return
        try:
            parts = [
                (number, dict(fields(value)))
                for number, value in fields(base64.b64decode(aux))
                if number in (VERTEXES, LOGS) and isinstance(value, bytes)
            ]
        except (ValueError, IndexError):
            return
        for number, part in parts:
            yield from self._vertex(part) if number == VERTEXES else self._log(part)

    def _vertex(self, vertex: dict[int, bytes | int]) -> Iterator[str]:
        digest, name = _text(vertex.get(DIGEST)), _text(vertex.get(NAME))
        if vertex.get(ERROR):
            self.failed = digest
        if digest in self.names or not (STARTED in vertex or vertex.get(CACHED)):
            return
        self.names[digest] = name
        if not name.startswith("[internal]"):
            yield f"{name} (cached)" if vertex.get(CACHED) else name

    def _log(self, log: dict[int, bytes | int]) -> Iterator[str]:
        last = self.last.setdefault(_text(log.get(OF_VERTEX)), deque(maxlen=LAST_LINES))
        for line in _text(log.get(MESSAGE)).splitlines():
            last.append(line)
            yield f"  {line}"

    @property
    def failure(self) -> str:
        """The failed step and its last lines; empty if none is known."""
        if not self.failed:
            return ""
        return "\n".join([self.names.get(self.failed, "a step"), *self.last.get(self.failed, ())])


def fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Number and value of every field. ValueError or IndexError if these bytes are no message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        value: bytes | int
        if key & 7 == 0:
            value, at = _varint(message, at)
        elif (size := {1: 8, 5: 4}.get(key & 7, -1)) >= 0 or key & 7 == 2:
            if size < 0:
                size, at = _varint(message, at)
            value, at = message[at : at + size], at + size
        else:
            raise ValueError(f"wire type {key & 7} is not used any more")
        yield key >> 3, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _text(value: bytes | int | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else ""
