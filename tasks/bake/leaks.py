"""Does a secret that a build step could read end in what was built? Pure: what to look for, and looking.

A gate, not a proof: what a step has encrypted or packed is not seen. The scanner looks for secrets of any origin, too.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import quote_from_bytes

from tasks.errors import InvalidInputError

LENGTH_AT_LEAST: Final = 8
LINE_AT_LEAST: Final = 32


def needles(name: str, value: bytes) -> tuple[bytes, ...]:
    """How the value may be written: as it is, in base64, in a URL; each longer line of a key by itself.

    InvalidInputError for one too short to be told from other bytes.
    """
    bare = value.strip()
    if len(bare) < LENGTH_AT_LEAST:
        raise InvalidInputError(
            f"asked to build with the secret {name!r}, which has {len(bare)} bytes; whether one of less than"
            f" {LENGTH_AT_LEAST} was baked cannot be told; take a longer one"
        )
    lines = bare.splitlines() if bare.startswith(b"-----BEGIN ") else []
    found = [bare, base64.b64encode(bare), base64.b64encode(value), quote_from_bytes(bare).encode()]
    found += [line for line in lines if len(line) >= LINE_AT_LEAST and not line.startswith(b"---")]
    return tuple(dict.fromkeys(found))


def leaked(parts: Iterable[bytes], secrets: Mapping[str, tuple[bytes, ...]]) -> str | None:
    """The name of a secret that is in these bytes, which come in parts."""
    longest = max((len(one) for wanted in secrets.values() for one in wanted), default=0)
    for window in _windows(parts, longest):
        for name, wanted in secrets.items():
            if any(one in window for one in wanted):
                return name
    return None


def hidden(text: str, secrets: Mapping[str, tuple[bytes, ...]]) -> str:
    """For a log: with the name of each secret instead of the secret."""
    for name, wanted in secrets.items():
        for one in wanted:
            text = text.replace(one.decode(errors="replace"), f"[secret {name}]")
    return text


def _windows(parts: Iterable[bytes], overlap: int) -> Iterator[bytes]:
    before = b""
    for part in parts:
        window = before + part
        yield window
        before = window[-(overlap - 1) :] if overlap > 1 else b""
