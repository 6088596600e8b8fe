"""Secrets that were made to be found: planted where the product may have them, then searched for where it may not."""

import base64
import gzip
import json
import os
import secrets
import sqlite3
import threading
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil

MOST_BYTES = 64 * 1024 * 1024
LOOK_SECONDS = 0.05
LOOKS = 6  # at each process: it may become another program after its start
# Told of every process that Python starts, in each of our own processes: looking at /proc would miss the short ones.
CUSTOMIZE = """
import json, os, sys
def _hook(event, arguments):
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system"):
        line = json.dumps([event, str(arguments[0]), [str(one) for one in (arguments[1:2] or [""])]])
        descriptor = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, (line + chr(10)).encode())
        os.close(descriptor)
sys.addaudithook(_hook)
"""


@dataclass(frozen=True)
class Canaries:
    """Name -> secret. `plant` makes them up as they are asked for."""

    planted: dict[str, str] = field(default_factory=dict)

    def plant(self, name: str) -> str:
        return self.planted.setdefault(name, f"cnry{secrets.token_hex(12)}")

    def seen_in(self, data: bytes) -> set[str]:
        """Names of those that these bytes hold: as they are, in base64 or in hex."""
        return {
            name for name, text in self.planted.items() if any(one in data for one in _forms(text))
        }

    def seen_below(self, folder: Path) -> dict[str, set[str]]:
        """Files that hold some, compressed ones and the texts of SQLite databases included."""
        found = {}
        for path in sorted(one for one in folder.rglob("*") if one.is_file()):
            if names := set().union(*map(self.seen_in, _contents(path))):
                found[str(path.relative_to(folder))] = names
        return found


def _forms(text: str) -> Iterator[bytes]:
    raw = text.encode()
    yield from (raw, quote(text).encode(), raw.hex().encode())
    for before in range(3):  # in base64 it looks different behind each number of bytes
        coded = base64.b64encode(b"x" * before + raw)
        yield coded[(0, 2, 3)[before] : -4]


def _contents(path: Path) -> Iterator[bytes]:
    try:
        raw = path.read_bytes()[:MOST_BYTES]
    except OSError:  # gone meanwhile
        return
    yield raw
    if raw[:2] == b"\x1f\x8b":
        try:
            yield gzip.decompress(raw)
        except (OSError, EOFError, zlib.error):
            return
    if raw.startswith(b"SQLite format 3"):
        yield _texts(path)


def _texts(path: Path) -> bytes:
    """Every value of every table: a long one lies in the file in pieces."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        rows = [
            str(row) for (name,) in tables for row in database.execute(f'SELECT * FROM "{name}"')
        ]
    return "\n".join(rows).encode()


@dataclass
class Watch:
    """What the processes of this machine showed to everybody, and what lay in a folder for a moment."""

    arguments: set[str] = field(default_factory=set)
    files: dict[str, bytes] = field(default_factory=dict)
    environments: dict[str, Mapping[str, str]] = field(default_factory=dict)


@contextmanager
def watching(folder: Path) -> Iterator[Watch]:
    """Look at all command lines, at the environments of whatever $BAKEWELL_HOME marks, and at the files in `folder`."""
    seen, stop = Watch(), threading.Event()

    def look() -> None:
        looks: Counter[int] = Counter()
        while not stop.wait(LOOK_SECONDS):
            fresh = [pid for pid in psutil.pids() if looks[pid] < LOOKS]
            looks.update(fresh)
            _look_at_processes(seen, fresh)
            with suppress(FileNotFoundError):  # a folder that went away while it was walked
                for path in folder.rglob("*"):
                    if path.is_file() and not path.is_symlink():
                        seen.files[str(path)] = b"\n".join(_contents(path))[:MOST_BYTES]

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def _look_at_processes(seen: Watch, pids: Sequence[int]) -> None:
    for pid in pids:
        try:
            one = psutil.Process(pid)
            line = " ".join(one.cmdline())
            if line in seen.arguments:
                continue
            seen.arguments.add(line)
            seen.environments[line] = one.environ()
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess, OSError):
            continue


def listen_to_starts(folder: Path) -> tuple[Path, Path]:
    """A folder for $PYTHONPATH that makes every Python tell what it starts, and the file it is told in."""
    log = folder / "started.jsonl"
    (folder / "sitecustomize.py").write_text(CUSTOMIZE.format(log=str(log)))
    return folder, log


def started(log: Path) -> list[list[str]]:
    """Event, program and arguments of each start."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def log_in(folder: Path, **logins: str) -> dict[str, str]:
    """Docker's configuration with `host -> user:password`; what finds it, for an environment."""
    folder.mkdir(exist_ok=True)
    auths = {
        host: {"auth": base64.b64encode(login.encode()).decode()} for host, login in logins.items()
    }
    (folder / "config.json").write_text(json.dumps({"auths": auths}))
    os.chmod(folder / "config.json", 0o600)
    return {"DOCKER_CONFIG": str(folder)}
