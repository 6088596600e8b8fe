"""Trivy's vulnerability database: is there one, how old is it, and can a newer one be had? In `<cache>/db`."""

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx

from tasks.adapters.file_lock import locked
from tasks.errors import RefusedError

YOUNG_HOURS: Final = 12.0  # a new one is published every 6 h
DOWNLOAD_SECONDS: Final = 300.0
REACH_SECONDS: Final = 4.0
TRY_AGAIN_SECONDS: Final = 600.0
MIRRORS: Final = ("mirror.gcr.io/aquasec/trivy-db:2", "ghcr.io/aquasecurity/trivy-db:2")


@dataclass(frozen=True)
class Database:
    """What is there. `folder` holds trivy.db and metadata.json."""

    folder: Path
    updated_at: datetime

    def hours_old(self, now: datetime) -> float:
        return (now - self.updated_at).total_seconds() / 3600


def found(cache: Path) -> Database | None:
    """The database in the cache, or None if there is none that can be read."""
    folder = (cache / "db").resolve()
    try:
        text = json.loads((folder / "metadata.json").read_text())["UpdatedAt"]
        there = (folder / "trivy.db").stat().st_size > 0
        updated_at = datetime.fromisoformat(f"{text[:19]}+00:00")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Database(folder, updated_at) if there else None


def freshened(cache: Path, trivy: str, environment: dict[str, str]) -> str:
    """See that a young database is there: downloads one if need be. Why that failed, or an empty string.

    After a failure nobody tries again for some minutes: offline, each command would have to wait for it.
    """
    try:
        with locked(cache / ".update-lock"):
            now = datetime.now(UTC)
            if (there := found(cache)) and there.hours_old(now) < YOUNG_HOURS:
                return ""
            if told := _failed_lately(cache):
                return told
            problem = _download(cache, trivy, environment)
            _note(cache, problem)
            return problem
    except (OSError, RefusedError) as error:
        return f"the vulnerability database in {cache} cannot be written: {error}"


def _download(cache: Path, trivy: str, environment: dict[str, str]) -> str:
    """Into a folder beside, then swapped: who scans meanwhile keeps what it has opened."""
    mirrors, problem = _reachable()
    if not mirrors:
        return problem
    incoming = cache / "incoming"
    shutil.rmtree(incoming, ignore_errors=True)
    command = [trivy, "image", "--download-db-only", "--no-progress", "--cache-dir", str(incoming)]
    for mirror in mirrors:
        command += ["--db-repository", mirror]
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            _, said = process.communicate(timeout=DOWNLOAD_SECONDS)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return f"its download from {mirrors[0]} did not end in {DOWNLOAD_SECONDS:.0f} s"
    if process.returncode or found(incoming) is None:
        return f"its download from {mirrors[0]} failed: {said.strip()[-300:]}"
    shutil.rmtree(cache / "db.old", ignore_errors=True)
    if (cache / "db").exists():
        (cache / "db").rename(cache / "db.old")
    (incoming / "db").rename(cache / "db")
    return ""


def _reachable() -> tuple[list[str], str]:
    """Mirrors that answer at all, and what was wrong with the others. Trivy itself would wait for minutes."""
    answering, problems = [], []
    for mirror in _mirrors():
        host = mirror.partition("/")[0]
        scheme = "http" if host.startswith(("127.", "localhost")) else "https"
        try:
            httpx.get(f"{scheme}://{host}/v2/", timeout=REACH_SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            problems.append(f"{host}: {error}")
        else:
            answering.append(mirror)
    return answering, f"no mirror of it can be reached ({'; '.join(problems)})"


def _mirrors() -> tuple[str, ...]:
    """$BAKEWELL_TRIVY_DB (`host/name:2`, several by comma), else the public ones."""
    own = os.environ.get("BAKEWELL_TRIVY_DB", "")
    return tuple(one.strip() for one in own.split(",") if one.strip()) or MIRRORS


def _failed_lately(cache: Path) -> str:
    path = cache / "update-failed"
    try:
        return path.read_text() if time.time() - path.stat().st_mtime < TRY_AGAIN_SECONDS else ""
    except OSError:
        return ""


def _note(cache: Path, problem: str) -> None:
    path = cache / "update-failed"
    if problem:
        path.write_text(problem)
    else:
        path.unlink(missing_ok=True)
