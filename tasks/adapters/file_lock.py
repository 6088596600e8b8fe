"""One writer at a time on this machine: flock on a file, which the kernel gives back when its holder dies."""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import RefusedError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for the lock, hold it. Threads exclude each other, too: every call opens the file anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def locked_name(name: str) -> Iterator[None]:
    """The same for something that is no file here, such as a tag in a registry; per user of this machine."""
    folder = Path(tempfile.gettempdir()) / f"bakewell-locks-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise RefusedError(f"asked to lock {name!r} in {folder}; it is somebody else's; remove it")
    with locked(folder / hashlib.sha256(name.encode()).hexdigest()):
        yield
