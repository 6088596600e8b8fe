"""Processes that outlive us: started detached, found again by the marks in their environment, stopped by session.

The process table is the truth: it cannot be stale, as a file of pids can, and a killed starter leaves nothing it does
not show. A mark is an environment variable; only leaders of a session count, not what they start themselves.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil

from tasks.errors import RefusedError

# Runs between us and the new process, in an interpreter of its own: forking a process that has threads is not safe.
# The pipe to us is closed by the exec: that we can read to its end means that the command runs, or says why not.
LAUNCHER: Final = """
import os, sys
log, folder, *command = sys.argv[1:]
read, write = os.pipe()
if os.fork():
    os.close(write)
    os.read(read, 1)  # at every moment one of the two leads a session, and so is found by its marks
    os._exit(0)
os.setsid()
os.write(write, b".")
answer = os.dup(1)
try:
    os.write(answer, f"{os.getpid()}\\n".encode())
except OSError:
    pass  # whoever asked was killed; what it asked for begins all the same, and is found by its marks
try:
    os.chdir(folder)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.execvpe(command[0], command, dict(os.environ))
except OSError as error:
    os.write(answer, f"{error.strerror}: {command[0]}".encode())
    os._exit(127)
"""
WAIT_AFTER_KILL_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Running:
    """One process that leads its session. `marks` is its whole environment."""

    pid: int
    started_at: datetime
    marks: Mapping[str, str] = field(hash=False)


def launch(command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> int:
    """Start a process that is not our child, in a session of its own; its pid. It runs the command when this returns.

    It has no standard input, its output is appended to `log`, and it inherits nothing but `environment`.
    RefusedError if the command cannot be run.
    """
    launched = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCHER, str(log), str(folder), *command],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    first, _, problem = launched.stdout.partition("\n")
    if problem or launched.returncode or not first.isdigit():
        found = problem or launched.stderr.strip()[-300:] or f"exit code {launched.returncode}"
        raise RefusedError(f"asked to start {command[0]} in {folder}; it cannot be run: {found}")
    return int(first)


_SEEN: Final = ContextVar[list[Running] | None]("processes as they were", default=None)


@contextmanager
def one_look() -> Iterator[None]:
    """Meanwhile this thread finds who was there when it began: for who looks at many environments and changes none. To read
    the table takes longer than to look for one's marks in it."""
    before = _SEEN.set(find({}))
    try:
        yield
    finally:
        _SEEN.reset(before)


def find(marks: Mapping[str, str]) -> list[Running]:
    """Every living process of this user whose environment holds all the marks, oldest first."""
    if (seen := _SEEN.get()) is not None:
        return [one for one in seen if _has(one.marks, marks)]
    found = (_marked(process, marks) for process in psutil.process_iter())
    return sorted((one for one in found if one), key=lambda one: (one.started_at, one.pid))


def _has(environment: Mapping[str, str], marks: Mapping[str, str]) -> bool:
    return all(environment.get(name) == value for name, value in marks.items())


def _marked(process: psutil.Process, marks: Mapping[str, str]) -> Running | None:
    try:
        if os.getsid(process.pid) != process.pid:
            return None
        environment = process.environ()
        if not _has(environment, marks):
            return None
        if process.uids().real != os.getuid() or process.status() == psutil.STATUS_ZOMBIE:
            return None
        started_at = datetime.fromtimestamp(process.create_time(), UTC)
        return Running(process.pid, started_at, environment)
    except (psutil.Error, OSError):
        return None


def is_connected(ports: AbstractSet[int]) -> bool:
    """Whether anybody has a connection to one of these ports; False, too, where the system does not tell us."""
    with contextlib.suppress(psutil.Error, OSError):
        return any(
            one.status == psutil.CONN_ESTABLISHED and one.laddr and one.laddr.port in ports
            for one in psutil.net_connections("tcp")
        )
    return False


def is_connected_to(addresses: AbstractSet[str]) -> bool:
    """Whether anybody here has a connection to one of these (`host:port`); False, too, where the system does not tell us."""
    with contextlib.suppress(psutil.Error, OSError):
        return any(
            one.status == psutil.CONN_ESTABLISHED
            and one.raddr
            and f"{one.raddr.ip}:{one.raddr.port}" in addresses
            for one in psutil.net_connections("tcp")
        )
    return False


def is_running(running: Running) -> bool:
    """Still the same process, not another one under its number, and no zombie."""
    try:
        process = psutil.Process(running.pid)
        same = datetime.fromtimestamp(process.create_time(), UTC) == running.started_at
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def stop(running: Running, grace_seconds: float) -> bool:
    """SIGTERM, then after the grace period SIGKILL, to the whole session; returns when nothing of it is left: whether its
    leader was still there after the grace period."""
    members = _session(running)
    if is_running(running):
        _signal(members, signal.SIGTERM)
        _wait(members, grace_seconds)
    killed = is_running(running)
    _signal({**members, **_session(running)}, signal.SIGKILL)
    _wait({**members, **_session(running)}, WAIT_AFTER_KILL_SECONDS)
    return killed


def _session(running: Running) -> dict[int, psutil.Process]:
    """Everything in the session, its leader included, started after it: so a reused number is nobody's."""
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            began = datetime.fromtimestamp(process.create_time(), UTC)
            if os.getsid(process.pid) == running.pid and began >= running.started_at:
                found[process.pid] = process
    return found


def _signal(members: Mapping[int, psutil.Process], number: signal.Signals) -> None:
    for process in members.values():
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)  # psutil looks whether it is still the same process


def _wait(members: Mapping[int, psutil.Process], seconds: float) -> None:
    until = time.monotonic() + seconds
    while any(_alive(one) for one in members.values()) and time.monotonic() < until:
        time.sleep(0.02)


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def memory(running: Running) -> int:
    """What the process itself holds in memory, in bytes; 0 if it is gone."""
    try:
        return int(psutil.Process(running.pid).memory_info().rss)
    except psutil.Error:
        return 0
