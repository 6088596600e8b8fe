"""Trivy's own caches: one folder for each scan that runs at the same time, because Trivy locks its cache for a whole scan.

`<home>/trivy/worker-1`, `worker-2` …, each with an flock that dies with its holder. The lowest free one is taken, so that
as few exist as were ever needed at once, and what Trivy learnt of a layer is found again. The database is one for all.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tasks.adapters.file_lock import locked
from tasks.errors import InvalidInputError, TransientError

WORKERS: Final = "BAKEWELL_TRIVY_WORKERS"
LAYERS_AT_MOST_BYTES: Final = 512 * 1024 * 1024
TELL_SECONDS: Final = 5.0
BROKEN: Final = ("unable to initialize fs cache", "cache may be in use", "cache DB", "panic: ")
Say = Callable[[str], None]


@contextmanager
def taken(home: Path, seconds: float, say: Say) -> Iterator[Path]:
    """A worker's folder that nobody else uses meanwhile. TransientError if none gets free in `seconds`."""
    with contextlib.ExitStack() as stack:
        worker = _first_free(home, seconds, say, stack)
        if size_bytes(worker / "fanal") > LAYERS_AT_MOST_BYTES:
            forget(worker)
        yield worker


def forget(worker: Path) -> None:
    """Throw away what it learnt of layers: too much, or broken by a crash. It is learnt again."""
    shutil.rmtree(worker / "fanal", ignore_errors=True)


def is_broken(problem: str) -> bool:
    """Do Trivy's words mean that what it learnt of layers cannot be read, or is held by somebody left from before?"""
    return any(words in problem for words in BROKEN)


def folders(home: Path) -> tuple[Path, ...]:
    """Those that exist, in order."""
    found = [one for one in home.glob("worker-*") if one.name.removeprefix("worker-").isdigit()]
    return tuple(sorted(found, key=lambda one: int(one.name.removeprefix("worker-"))))


def size_bytes(folder: Path) -> int:
    """Of all files in there, as far as they stay while one looks."""
    size = 0
    for one in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            size += one.lstat().st_size if one.is_file() else 0
    return size


def at_once() -> int:
    """How many scans run at the same time: $BAKEWELL_TRIVY_WORKERS, else one for each processor, at least two."""
    said = os.environ.get(WORKERS, "")
    if not said:
        return max(2, os.cpu_count() or 1)
    if not said.isdigit() or int(said) < 1:
        raise InvalidInputError(f"${WORKERS} is {said!r}; give a number of at least 1, or unset it")
    return int(said)


def _first_free(home: Path, seconds: float, say: Say, stack: contextlib.ExitStack) -> Path:
    began, next_word = time.monotonic(), 0.0
    while True:
        if worker := _free(home, stack):
            return worker
        waited = time.monotonic() - began
        if waited > seconds:
            raise TransientError(
                f"asked for one of {at_once()} scanners; all were busy for {waited:.0f} s; try again, or let more run"
                f" at once (${WORKERS})"
            )
        if waited >= next_word:
            next_word = waited + TELL_SECONDS
            say(f"all {at_once()} scanners are busy; waiting for {waited:.0f} s now")
        time.sleep(0.05)


def _free(home: Path, stack: contextlib.ExitStack) -> Path | None:
    for number in range(1, at_once() + 1):
        worker = home / f"worker-{number}"
        with contextlib.suppress(TimeoutError):
            stack.enter_context(locked(worker / "lock", 0))
            return worker
    return None
