"""The real Trivy with a known database and no way to another; and one that misbehaves as a test tells it."""

import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil
import pytest

from tasks.adapters import trivy_binary
from tasks.adapters.trivy import TrivyScanner
from tasks.adapters.trivy_server import SERVER, TOKEN
from tasks.errors import BakewellError
from tasks.ports import ArtifactStore
from tests.support.engines import free_port, missing
from tests.support.trivy_db import write_database

VERSION: Final = """[ "$1" = version ] && echo '{"Version": "0.76.0"}' && exit 0\n"""
HANGING: Final = "sleep 1000 & echo $! >>{pids}; echo $$ >>{pids}; trap '' TERM; wait; wait\n"


def need_trivy() -> None:
    """Skip (in CI: fail) where there is none that is supported."""
    try:
        trivy_binary.binary()
    except BakewellError as error:
        missing(str(error))


def scanner_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a database of today, no way to a newer one, no server."""
    monkeypatch.setenv("BAKEWELL_TRIVY_DB", f"127.0.0.1:{free_port()}/trivy-db:2")
    for name in (SERVER, TOKEN, "BAKEWELL_TRIVY_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    write_database(folder / "trivy" / "db", datetime.now(UTC))
    return folder / "trivy"


def scanner(home: Path, store: ArtifactStore) -> TrivyScanner:
    return TrivyScanner(home, lambda repository: store)


def real_trivy() -> str:
    """Its path, whatever stands in front of it on PATH."""
    beside = Path(sys.executable).parent
    found = shutil.which("trivy", path=f"{beside}{os.pathsep}{os.environ['PATH']}")
    assert found is not None
    return found


@contextmanager
def pretending(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A `trivy` of our own in front of the real one; what it does is written by `pretend`. Nothing of it survives."""
    programs = folder / "bin"
    programs.mkdir()
    there = f"{programs}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setattr(trivy_binary, "search_path", lambda: there)
    monkeypatch.setattr("tasks.adapters.trivy_process.search_path", lambda: there)
    yield programs / "trivy"
    pids = folder / "pids"
    for line in pids.read_text().split() if pids.exists() else ():
        if alive_pid(int(line)):
            psutil.Process(int(line)).kill()


def pretend(path: Path, script: str) -> None:
    """Apart from its version, which it always tells."""
    path.write_text(f"#!/bin/bash\n{VERSION}{script}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def alive(pids: Path) -> list[int]:
    return [int(line) for line in pids.read_text().split() if alive_pid(int(line))]


def alive_pid(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(condition: Callable[[], object], seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False
