"""A real PostgreSQL for one test session: fresh data in a temporary folder, loopback only, gone afterwards."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.engines import free_port, missing, running

USER = "postgres"


@contextmanager
def running_postgres(password: str = "") -> Iterator[str]:
    """The URL of its database `postgres`, without a driver; the user is a superuser without a password, unless given."""
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)
        data = folder / "data"
        data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
            shutil.chown(data, USER)
        _run(programs / "initdb", "-D", data, *_access(folder, password), "-U", USER, "--no-sync")
        settings = [
            "listen_addresses=127.0.0.1",
            f"port={port}",
            f"unix_socket_directories={folder}",
        ]
        settings += ["fsync=off", "max_connections=50"]
        flags = [part for setting in settings for part in ("-c", setting)]
        server: list[str | Path] = [*_as_user(), programs / "postgres", "-D", data, *flags]
        ready: list[str | Path] = [
            programs / "pg_isready",
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            "-U",
            USER,
        ]
        with running(
            server, folder / "log", lambda: subprocess.run(ready, check=False).returncode == 0
        ):
            user = f"{USER}:{password}" if password else USER
            yield f"postgresql://{user}@127.0.0.1:{port}/postgres"


def _access(folder: Path, password: str) -> list[str | Path]:
    """What initdb is told about it; a password by a file, never as an argument."""
    if not password:
        return ["-A", "trust"]
    path = folder / "password"
    path.write_text(password)
    path.chmod(0o644)
    return ["-A", "scram-sha-256", "--pwfile", path]


def _programs() -> Path:
    """PATH, then where Debian keeps the newest one."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    if installed := sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return installed[-1].parent
    missing("needs PostgreSQL's initdb; on Debian: apt-get install postgresql")


def _as_user() -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    try:
        pwd.getpwnam(USER)
    except KeyError:
        missing(f"PostgreSQL does not run as root, and there is no user {USER}")
    return ["runuser", "-u", USER, "--"]


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        [*_as_user(), *command], capture_output=True, text=True, cwd="/", check=False
    )
    assert done.returncode == 0, done.stderr
