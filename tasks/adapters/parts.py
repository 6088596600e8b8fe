"""Processes of one installation: started with a mark that outlives whoever started them, found again, ended.

As with the Prefect server (`prefect_server.py`) the mark in a process's environment is the truth: it names the home folder and
the part. A file that is touched again and again shows that a part does not hang.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil

from tasks.adapters.server_process import (
    environment_of,
    is_alive,
    last_words,
    leads_session,
    listens,
    rotate,
)

PART_MARK: Final = "BAKEWELL_PART"
ENGINE: Final = "engine"
"""The part that does runs: started by a worker, and there are many."""


@dataclass(frozen=True)
class PartProcess:
    """`api`: the Prefect server it works for; `started_at`: seconds since the epoch."""

    part: str
    pid: int
    api: str
    started_at: float

    def is_alive(self) -> bool:
        """The same process: a pid is used again."""
        with contextlib.suppress(psutil.Error):
            found = psutil.Process(self.pid)
            return abs(found.create_time() - self.started_at) < 1.0 and is_alive(found)
        return False

    def signal(self, number: signal.Signals, whole_session: bool = False) -> None:
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if whole_session else os.kill)(self.pid, number)


def mark_of(part: str, home: Path) -> str:
    return json.dumps({"home": str(home), "part": part})


def folder_of(home: Path) -> Path:
    """Where parts keep logs and signs of life."""
    folder = home / "up"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def log_of(home: Path, part: str) -> Path:
    return folder_of(home) / f"{part}.log"


def words_of(home: Path, part: str) -> str:
    """The last lines of its log, in one."""
    return last_words(log_of(home, part))


def start_part(
    part: str, command: Sequence[str], home: Path, environment: Mapping[str, str]
) -> PartProcess:
    """A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which knows in which order to stop."""
    log = log_of(home, part)
    rotate(log)
    forget_beat(home, part)
    remark(home, part, "")
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-P", *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder_of(home),
            env={**environment, PART_MARK: mark_of(part, home)},
            start_new_session=True,
            restore_signals=True,
        )
    process.returncode = 0  # looked at by pid, as those that another supervisor started
    return _described(part, process.pid, environment.get("PREFECT_API_URL", ""))


def ended_well(process: PartProcess) -> bool | None:
    """Whether a part that we started ended with 0; None if it goes on, or was started by somebody else."""
    with contextlib.suppress(ChildProcessError):
        pid, status = os.waitpid(process.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) == 0 if pid else None
    return None


def parts_of(home: Path) -> Iterator[PartProcess]:
    """Every living part of that home, engines among them, whoever started it."""
    for pid in psutil.pids():
        environment = environment_of(pid)
        if (mark := _parsed(environment.get(PART_MARK, ""))) is None or mark[0] != str(home):
            continue
        if mark[1] == ENGINE or leads_session(pid):
            with contextlib.suppress(psutil.Error):
                yield _described(mark[1], pid, environment.get("PREFECT_API_URL", ""))


def environment_of_part(home: Path, part: str) -> dict[str, str]:
    """What a living part was started with; empty if there is none."""
    found = next((one for one in parts_of(home) if one.part == part), None)
    return environment_of(found.pid) if found else {}


def stop_part(process: PartProcess, grace_seconds: float, gently: bool = False) -> bool:
    """SIGTERM (`gently`: SIGUSR1), then SIGKILL to all of its session. True if it went by itself."""
    process.signal(signal.SIGUSR1 if gently else signal.SIGTERM)
    went = wait_gone([process], grace_seconds)
    if not went:
        process.signal(signal.SIGKILL, whole_session=process.part != ENGINE)
        wait_gone([process], 5.0)
    return went


def wait_gone(processes: Sequence[PartProcess], seconds: float) -> bool:
    """Are all of them gone within that time?"""
    until = time.monotonic() + seconds
    while any(one.is_alive() for one in processes):
        for one in processes:
            ended_well(one)
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def answers(process: PartProcess, url: str) -> bool:
    """Does this machine's own address answer with a success, past every proxy, and is it that process which does? Another
    installation may have been quicker at the port."""
    if not process.is_alive() or not listens(psutil.Process(process.pid), urlsplit(url).port or 80):
        return False
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=2.0) as answer:
            return bool(200 <= answer.status < 300)
    except (OSError, ValueError):
        return False


# ---- signs of life -------------------------------------------------------------------------------


def beat(home: Path, part: str) -> None:
    """ "I do not hang." A disk that is full for a moment stops nobody's work."""
    with contextlib.suppress(OSError):
        _beat_of(home, part).touch()


def silent_seconds(home: Path, part: str) -> float | None:
    """Since its last sign of life; None if there was none since its start."""
    try:
        return max(0.0, time.time() - _beat_of(home, part).stat().st_mtime)
    except OSError:
        return None


def forget_beat(home: Path, part: str) -> None:
    with contextlib.suppress(OSError):
        _beat_of(home, part).unlink()


def remark(home: Path, part: str, words: str) -> None:
    """What somebody has to do for a part that is alive; empty: nothing any more."""
    with contextlib.suppress(OSError):
        if words:
            _remark_of(home, part).write_text(words)
        else:
            _remark_of(home, part).unlink(missing_ok=True)


def remark_of(home: Path, part: str) -> str:
    """Empty: it has made none, or it cannot be read."""
    try:
        return _remark_of(home, part).read_text(errors="replace")
    except OSError:
        return ""


def _remark_of(home: Path, part: str) -> Path:
    return folder_of(home) / f"{part}.remark"


def _beat_of(home: Path, part: str) -> Path:
    return folder_of(home) / f"{part}.beat"


def _described(part: str, pid: int, api: str) -> PartProcess:
    return PartProcess(part, pid, api, psutil.Process(pid).create_time())


def _parsed(mark: str) -> tuple[str, str] | None:
    try:
        found = json.loads(mark)
        return str(found["home"]), str(found["part"])
    except (ValueError, KeyError, TypeError):
        return None
