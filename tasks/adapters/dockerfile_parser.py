"""Reads a Dockerfile with BuildKit's own parser (the `dockerfile` package): continued lines, here-documents, escapes, ONBUILD.

dockerfile-parse, in pure Python, knows no here-documents, and takes lines in them for instructions.
"""

from pathlib import Path

from tasks.dockerfile import Instruction
from tasks.errors import InvalidInputError, RefusedError

MAX_BYTES = 1_000_000


def read_dockerfile(path: Path) -> tuple[str, tuple[Instruction, ...]]:
    """Its text and instructions. InvalidInputError where BuildKit could not read it either."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidInputError(f"{path} is larger than {MAX_BYTES} bytes: no Dockerfile")
        text = path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            f"asked to bake {path}; it cannot be read: {error}; correct `bake.dockerfile` in service.yaml"
        ) from error
    return text, instructions_of(text, path)


def instructions_of(text: str, path: Path) -> tuple[Instruction, ...]:
    """Of a Dockerfile's text; `path` is for messages."""
    try:
        import dockerfile  # late: it brings Go's runtime into the process
    except ImportError as error:
        raise RefusedError(
            f"asked to bake {path}; the package `dockerfile`, which reads it, has no wheel for this machine; install it"
            " (pip builds it where Go is), or bake on Linux x86-64"
        ) from error
    try:
        parsed = dockerfile.parse_string(text.removeprefix("\ufeff"))
    except dockerfile.GoParseError as error:
        raise InvalidInputError(f"{path}: {error}; correct it, then bake again") from error
    return tuple(
        Instruction(one.start_line, one.cmd.upper(), tuple(one.value), tuple(one.flags))
        for one in parsed
    )
