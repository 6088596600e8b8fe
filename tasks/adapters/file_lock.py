"""One writer at a time on this machine: flock on a file, which the kernel gives back when its holder dies."""

import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tasks.errors import RefusedError


@contextmanager
def locked(path: Path, seconds: float | None = None) -> Iterator[None]:
    """Wait for the lock, hold it. Threads exclude each other, too: every call opens the file anew.

    TimeoutError if it is not to be had within `seconds`; without them it waits as long as it takes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        if seconds is None:
            fcntl.flock(file, fcntl.LOCK_EX)
        else:
            _lock_within(file, seconds)
        yield


def _lock_within(file: BinaryIO, seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise TimeoutError(f"{file.name} is locked") from None
            time.sleep(0.02)


@contextmanager
def locked_name(name: str) -> Iterator[None]:
    """The same for something that is no file here, such as a tag in a registry; per user of this machine."""
    folder = Path(tempfile.gettempdir()) / f"bakewell-locks-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise RefusedError(f"asked to lock {name!r} in {folder}; it is somebody else's; remove it")
    with locked(folder / hashlib.sha256(name.encode()).hexdigest()):
        yield
