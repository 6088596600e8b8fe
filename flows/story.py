"""What happens, told once: the same lines reach the terminal, and the run's log in the Prefect UI.

`PREFECT_LOGGING_EXTRA_LOGGERS=bakewell` (see tasks/adapters/prefect_server.py) makes Prefect ship this logger's lines.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

LOGGER: Final = logging.getLogger("bakewell")


class Tone(StrEnum):
    """How a line is meant; the terminal chooses a mark and a colour for it."""

    STEP = "step"
    GOOD = "good"
    BAD = "bad"
    WAIT = "wait"
    WARN = "warn"


def tell(line: str, tone: Tone = Tone.STEP, *, where: str = "") -> None:
    """One sentence of the story. `where` is the service and environment it is about."""
    level = logging.WARNING if tone in (Tone.BAD, Tone.WARN) else logging.INFO
    LOGGER.log(
        level,
        "%s%s",
        f"{where}: " if where else "",
        line,
        extra={"tone": tone, "line": line, "where": where},
    )


def teller(where: str) -> Callable[[str], None]:
    """For those who do not know us and have something that people should hear: each line is a warning about `where`."""
    return lambda line: tell(line, Tone.WARN, where=where)


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def overheard() -> Iterator[list[str]]:
    """What is told meanwhile, line by line: for those who come too late to hear it."""
    listener, level = _Listener(), LOGGER.level
    LOGGER.addHandler(listener)
    LOGGER.setLevel(logging.INFO)
    try:
        yield listener.lines
    finally:
        LOGGER.setLevel(level)
        LOGGER.removeHandler(listener)
