"""A server that outlives the command that started it: how such a process is looked at, and ended by pid."""

import contextlib
import os
import signal
import socket
import time
from pathlib import Path
from typing import Final

import psutil

LOOPBACK: Final = "127.0.0.1"
LOG_BYTES: Final = 10 * 1024 * 1024


def environment_of(pid: int) -> dict[str, str]:
    """What a living process was started with; empty where there is none, or it is somebody else's."""
    try:
        process = psutil.Process(pid)
        return process.environ() if is_alive(process) else {}
    except (psutil.Error, OSError):
        return {}


def leads_session(pid: int) -> bool:
    """Is it the process that was started, not one of its children?"""
    try:
        return os.getsid(pid) == pid
    except OSError:
        return False


def is_alive(process: psutil.Process) -> bool:
    """A zombie is not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def listens(process: psutil.Process, port: int) -> bool:
    """Is it this process that holds the port, not another server that was quicker?"""
    try:
        sockets = process.net_connections("tcp4")
    except psutil.Error:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in sockets)


def end_session(process: psutil.Process, grace_seconds: float) -> None:
    """SIGTERM, then SIGKILL, to the session this process leads; returns when the process is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if process.is_running():  # psutil checks that the pid is still the same process
                os.killpg(process.pid, number)
        until = time.monotonic() + grace_seconds
        while is_alive(process) and time.monotonic() < until:
            time.sleep(0.05)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)


def is_free(port: int) -> bool:
    """Could a server listen there now? Connections that are just closing do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def any_port() -> int:
    """One that nobody listens on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def rotate(log: Path) -> None:
    """Keep one old log; call it before the server opens the new one."""
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))


def last_words(log: Path, lines: int = 5) -> str:
    """The end of a log on one line, for an error message."""
    try:
        found = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    except OSError:
        return "no log was written"
    return " / ".join(line for line in found[-lines:] if line) or "its log is empty"
