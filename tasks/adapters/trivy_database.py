"""Trivy's vulnerability database: is there one, how old is it, and can a newer one be had? In `<cache>/db`."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Final

import httpx

from tasks.adapters import trivy_config, trivy_process
from tasks.adapters.file_lock import locked
from tasks.adapters.registry_session import is_loopback
from tasks.errors import BakewellError, TransientError

SCHEMA: Final = 2
YOUNG_HOURS: Final = 6.0  # a new one is published every 6 h
SKEW_HOURS: Final = 1.0  # clocks differ; what is newer than this is not believed
DOWNLOAD_SECONDS: Final = 300.0
REACH_SECONDS: Final = 4.0
LEND_TRIES: Final = 50  # each 20 ms
AFTER_FAILURE_SECONDS: Final = 600.0
AFTER_SUCCESS_SECONDS: Final = 3600.0
MIRRORS: Final = ("mirror.gcr.io/aquasec/trivy-db:2", "ghcr.io/aquasecurity/trivy-db:2")


@dataclass(frozen=True)
class Database:
    """What is there. `folder` holds trivy.db and metadata.json."""

    folder: Path
    updated_at: datetime

    def hours_old(self, now: datetime) -> float:
        """Negative: it says it comes from the future."""
        return (now - self.updated_at).total_seconds() / 3600

    def is_of_the_last(self, hours: float, now: datetime) -> bool:
        return -SKEW_HOURS <= self.hours_old(now) <= hours


@dataclass(frozen=True)
class _Attempt:
    """The last download: from where, when, and what went wrong (empty: nothing)."""

    mirrors: tuple[str, ...]
    at_epoch_seconds: float
    problem: str

    def is_recent(self) -> bool:
        pause = AFTER_FAILURE_SECONDS if self.problem else AFTER_SUCCESS_SECONDS
        return 0 <= time.time() - self.at_epoch_seconds < pause


def found(cache: Path) -> Database | None:
    """The database in the cache, or None if there is none that our Trivy can read."""
    folder = (cache / "db").resolve()
    try:
        metadata = json.loads((folder / "metadata.json").read_text())
        there = (folder / "trivy.db").stat().st_size > 0
        updated_at = datetime.fromisoformat(f"{metadata['UpdatedAt'][:19]}+00:00")
        readable = metadata["Version"] == SCHEMA
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Database(folder, updated_at) if there and readable else None


@contextmanager
def lent(database: Database, worker: Path) -> Iterator[Database]:
    """The same files once more, in a worker's own cache folder: what it scans with does not change under its feet.

    Hard links: no second copy, and a newer database that takes its place meanwhile is simply another file. Taken back
    afterwards, so that a worker who rests does not keep an old one on the disk. TransientError if it is gone.
    """
    try:
        yield _linked(database, worker)
    finally:
        shutil.rmtree(worker / "db", ignore_errors=True)


def _linked(database: Database, worker: Path) -> Database:
    for _ in range(LEND_TRIES):
        shutil.rmtree(worker / "db", ignore_errors=True)  # also what somebody left who was killed
        with contextlib.suppress(OSError):
            _link(database.folder, worker / "db")
            if there := found(worker):
                return there
        time.sleep(0.02)
    raise TransientError(
        f"asked for the vulnerability database in {database.folder}; it is not there any more; try again"
    )


def _link(folder: Path, to: Path) -> None:
    """Both files of one and the same folder, even if another takes its name in between."""
    to.mkdir()
    source = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in ("trivy.db", "metadata.json"):
            os.link(name, to / name, src_dir_fd=source)
    finally:
        os.close(source)


def freshened(cache: Path) -> str:
    """See that a young database is there: downloads one if need be. Why that failed, or an empty string.

    Nobody tries again at once, neither after a failure (offline, each command would wait for it) nor when the mirror
    has nothing newer (each scan would download it). Other mirrors are tried at once.
    """
    try:
        with locked(cache / ".update-lock"):
            there, last = found(cache), _last_attempt(cache)
            if there and there.is_of_the_last(YOUNG_HOURS, datetime.now(UTC)):
                return ""
            if last and last.is_recent() and last.mirrors == mirrors() and (there or last.problem):
                return last.problem
            problem = _renewed(cache, there)
            _note(cache, _Attempt(mirrors(), time.time(), problem))
            return problem
    except (OSError, BakewellError) as error:
        return f"the vulnerability database in {cache} cannot be written: {error}"


def _renewed(cache: Path, there: Database | None) -> str:
    """From the first mirror that has one. Trivy's own list of mirrors gives up at the first that lacks it."""
    for left in cache.glob("bakewell-trivy-*"):  # by somebody who was killed; we hold the lock
        shutil.rmtree(left, ignore_errors=True)
    silent = _silent(mirrors())
    problems = []
    for mirror in mirrors():
        problem = silent.get(mirror) or _downloaded(cache, there, mirror)
        if not problem:
            return ""
        problems.append(f"{mirror.partition('/')[0]}: {problem}")
    told = "no mirror of it can be reached" if len(silent) == len(problems) else "no mirror has it"
    return f"{told} ({'; '.join(problems)})"


def _downloaded(cache: Path, there: Database | None, mirror: str) -> str:
    """Into a folder beside, then swapped: who scans meanwhile keeps what it has opened."""
    with trivy_process.work_folder(cache) as work:
        incoming = work / "incoming"
        config = replace(
            trivy_config.config(work, incoming, DOWNLOAD_SECONDS),
            insecure=is_loopback(mirror.partition("/")[0]),
            db=trivy_config.Database(repository=(mirror,), skip_update=False),
        )
        try:
            trivy_process.ask("download", mirror, config, work, DOWNLOAD_SECONDS)
        except BakewellError as error:
            return str(error)
        return _swapped(cache, there, incoming)


def _swapped(cache: Path, there: Database | None, incoming: Path) -> str:
    now, new = datetime.now(UTC), found(incoming)
    if new is None:
        return f"what it has is no database of schema {SCHEMA}"
    if new.hours_old(now) < -SKEW_HOURS:
        return f"its database is of {new.updated_at:%Y-%m-%d %H:%M} UTC, which is to come; is this machine's clock right?"
    known = there if there and there.hours_old(now) >= -SKEW_HOURS else None
    if known and new.updated_at <= known.updated_at:
        return ""  # a lagging mirror: ours is as new as can be had
    shutil.rmtree(cache / "db.old", ignore_errors=True)
    if (cache / "db").exists():
        (cache / "db").rename(cache / "db.old")
    (incoming / "db").rename(cache / "db")
    shutil.rmtree(cache / "db.old", ignore_errors=True)
    return ""


def _silent(mirrors: tuple[str, ...]) -> dict[str, str]:
    """Mirrors that do not answer at all, and why. Trivy would wait for minutes; a name server may hang, too."""
    told: dict[str, str] = {}
    asking = [
        (one, Thread(target=_knock, args=(one, told), daemon=True))
        for one in dict.fromkeys(mirrors)
    ]
    for _, thread in asking:
        thread.start()
    end = time.monotonic() + REACH_SECONDS
    for _, thread in asking:
        thread.join(max(0.0, end - time.monotonic()))
    answers = {one: told.get(one, f"no answer in {REACH_SECONDS:g} s") for one, _ in asking}
    return {one: problem for one, problem in answers.items() if problem}


def _knock(mirror: str, told: dict[str, str]) -> None:
    host = mirror.partition("/")[0]
    try:
        plain = is_loopback(host)
        url = f"{'http' if plain else 'https'}://{host}/v2/"
        httpx.get(url, timeout=REACH_SECONDS, trust_env=not plain)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        told[mirror] = str(error) or type(error).__name__
    else:
        told[mirror] = ""


def mirrors() -> tuple[str, ...]:
    """$BAKEWELL_TRIVY_DB (`host/name:2`, several by comma), else the public ones."""
    own = os.environ.get("BAKEWELL_TRIVY_DB", "")
    return tuple(one.strip() for one in own.split(",") if one.strip()) or MIRRORS


def _last_attempt(cache: Path) -> _Attempt | None:
    try:
        said = json.loads((cache / "last-update.json").read_text())
        return _Attempt(
            tuple(said["mirrors"]), float(said["at_epoch_seconds"]), str(said["problem"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _note(cache: Path, attempt: _Attempt) -> None:
    (cache / "last-update.json").write_text(json.dumps(asdict(attempt)))
