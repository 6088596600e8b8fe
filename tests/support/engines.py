"""Starting what tests need from outside: a free port, patience, a server process that never outlives its test."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from tasks.errors import TransientError

LAST_LINES = 20


def missing(reason: str) -> NoReturn:
    """An engine is not here: skip on a laptop, fail in CI, where a skipped check is a check nobody did."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def program(name: str, package: str) -> Path:
    """Where `name` is on PATH; `package` is the Debian package that brings it."""
    if (found := shutil.which(name)) is None:
        missing(f"needs {name}, which is not on PATH; on Debian: apt-get install {package}")
    return Path(found)


def free_port() -> int:
    """A loopback port nobody listens on now. Somebody may take it before you do: then start again."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(url: str, seconds: float = 2.0) -> bool:
    """Does this URL answer with a success?"""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as response:
            return bool(200 <= response.status < 300)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def wait_for(
    condition: str | Callable[[], bool], seconds: float = 30.0, what: str = "", every: float = 0.1
) -> None:
    """Poll a URL (until it answers 2xx) or a callable (until it is true; who cannot be asked right now is asked again); fail the
    test after `seconds`."""
    until, why = time.monotonic() + seconds, ""
    while True:
        try:
            if answers(condition) if isinstance(condition, str) else condition():
                return
        except TransientError as error:
            why = f": {error}"
        if time.monotonic() > until:
            pytest.fail(
                f"waited {seconds:.0f} s for {what or condition}, in vain{why}", pytrace=False
            )
        time.sleep(every)


def stop(process: "subprocess.Popen[bytes]", grace_seconds: float = 10.0) -> None:
    """SIGTERM to the process's own session, SIGKILL after the grace; returns when it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            continue
        if number is signal.SIGTERM:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    log: Path,
    ready: str | Callable[[], bool],
    *,
    seconds: float = 30.0,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator["subprocess.Popen[bytes]"]:
    """A server in a session of its own, its output in `log`, ready when the block is entered, gone after it.

    `environment` is added to this process's own.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    try:
        _until_ready(process, ready, log, seconds)
        yield process
    finally:
        stop(process)


def _until_ready(
    process: "subprocess.Popen[bytes]",
    ready: str | Callable[[], bool],
    log: Path,
    seconds: float,
) -> None:
    until = time.monotonic() + seconds
    while not (answers(ready) if isinstance(ready, str) else ready()):
        if process.poll() is not None or time.monotonic() > until:
            code = process.poll()
            state = "did not get ready" if code is None else f"ended with {code}"
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-LAST_LINES:])
            pytest.fail(f"{process.args!r} {state}; its last lines:\n{tail}", pytrace=False)
        time.sleep(0.05)
