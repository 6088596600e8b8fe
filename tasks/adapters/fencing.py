"""Invariant 6 on one machine: one writer at a time, and none that is older than one that was seen.

The newest token is a file; the lock beside it is the kernel's, who gives it back when its holder dies.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.adapters.file_lock import locked
from tasks.adapters.fleet_notes import put_text
from tasks.errors import LateWriterError, RefusedError, TransientError

FENCE = "fence"
LOCK = "fence.lock"


@contextmanager
def fenced(folder: Path, what: str, token: int, seconds: float) -> Iterator[None]:
    """Hold the right to change `what`. LateWriterError if a higher token was seen; nothing is changed then.

    TransientError if another process changes it for `seconds` already: a stopped one must not stop everybody unseen.
    """
    lock, held = folder / LOCK, False
    try:
        with locked(lock, seconds):
            held = True
            lock.write_text(str(os.getpid()))
            _refuse_late(folder / FENCE, what, token)
            yield
    except OSError as error:
        if isinstance(error, TimeoutError) and not held:
            raise TransientError(
                f"asked to change {what}; another process ({_holder(lock)}) changes it for {seconds:.0f} s already;"
                " nothing was changed: look at that process, end it if it hangs, and try again"
            ) from error
        raise RefusedError(
            f"asked to change {what}; found {error.strerror or error} in {folder}; check the disk"
        ) from error


def _refuse_late(path: Path, what: str, token: int) -> None:
    newest = _newest(path, what)
    if token < newest:
        raise LateWriterError(
            f"a change of {what} came with token {token}, but token {newest} was seen:"
            " somebody else took over. Nothing was changed; stop, and let the newer owner finish"
        )
    if token > newest:
        put_text(path, str(token))


def _newest(path: Path, what: str) -> int:
    """Fails closed: who cannot be told from a late writer changes nothing."""
    if not path.exists():
        return 0
    found = path.read_text(errors="replace").strip()
    if not (found.isascii() and found.isdigit()):
        raise RefusedError(
            f"asked to change {what}; found {found[:40]!r} in {path}, where the newest token should be; nothing was"
            f" changed: make sure that nobody else releases {what}, remove the file, and try again"
        )
    return int(found)


def _holder(lock: Path) -> str:
    try:
        return f"pid {int(lock.read_text())}"
    except (OSError, ValueError):
        return "its pid is not known"
