"""Who holds a lease, and is that process still there? Owners are `host:boot:pid:start:what`."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
PID_NAMESPACE: Final = Path("/proc/self/ns/pid")


@dataclass(frozen=True)
class Owner:
    """`boot` also tells the process-id namespace: two containers of one machine number their processes apart."""

    host: str
    boot: str
    pid: int
    start: str
    what: str

    def __str__(self) -> str:
        return f"{self.host}:{self.boot}:{self.pid}:{self.start}:{self.what}"


def this_owner(what: str) -> str:
    """The owner string of this process, working on `what` (for people)."""
    pid = os.getpid()
    return str(Owner(_host(), _boot(), pid, _start(pid), what))


def is_gone(owner: str) -> bool:
    """Is it certain that this process runs no more? False for other machines, and whenever unsure."""
    parsed = parse(owner)
    if parsed is None or not parsed.boot or (parsed.host, parsed.boot) != (_host(), _boot()):
        return False
    if not _exists(parsed.pid):
        return True
    start = _start(parsed.pid)
    return bool(parsed.start and start) and (start != parsed.start or _is_zombie(parsed.pid))


def describe(owner: str) -> str:
    """For people: `rollout of r7 (process 4711 on web-1)`."""
    parsed = parse(owner)
    return f"{parsed.what} (process {parsed.pid} on {parsed.host})" if parsed else repr(owner)


def parse(owner: str) -> Owner | None:
    """None for a string that nobody's `this_owner` wrote."""
    parts = owner.split(":", 4)
    if len(parts) != 5 or not parts[2].isdecimal():
        return None
    return Owner(parts[0], parts[1], int(parts[2]), parts[3], parts[4])


def _host() -> str:
    return socket.gethostname().replace(":", "-")


def _boot() -> str:
    """Empty where the system does not tell: then nobody is ever provably gone."""
    try:
        space = os.readlink(PID_NAMESPACE).removeprefix("pid:").strip("[]")
        return f"{BOOT_ID.read_text().strip()}-{space}"
    except OSError:
        return str(int(psutil.boot_time()))


def _exists(pid: int) -> bool:
    """A process that may not be asked exists: only "no such process" is proof."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _start(pid: int) -> str:
    """When it started: clock ticks since boot, which no change of the clock moves. Empty if it cannot be told."""
    try:
        return _stat(pid)[19]
    except (OSError, IndexError):
        pass
    try:
        return str(psutil.Process(pid).create_time())
    except psutil.Error:
        return ""


def _is_zombie(pid: int) -> bool:
    """Dead, and only not yet collected by its parent: it will do nothing any more."""
    try:
        return _stat(pid)[0] in ("Z", "X")
    except (OSError, IndexError):
        return False


def _stat(pid: int) -> list[str]:
    """proc(5): the fields after the command's name (which may hold anything, even parentheses), from `state` on."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
