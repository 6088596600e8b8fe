"""From a fresh clone to a running command, with Python and Git alone: finds or fetches uv, installs what uv.lock names.

Standard library only, and syntax that old Pythons can read: they must come as far as the sentence that refuses them.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
NEWER_PYTHONS = ("python3.14", "python3.13", "python3.12", "python3.11")
NO_ANSWER = 5
BAD_INPUT = 2


def ensure_environment(module: str, arguments: Sequence[str], *, development: bool = False) -> None:
    """Return if this interpreter can run the project; else run `python -m module arguments` in one that can.

    That one is the project's .venv. It is made when it is not there, brought up to date when uv.lock has changed since,
    and otherwise entered at once, without uv.
    """
    if sys.version_info < OLDEST_PYTHON:
        _enter_newer_python(module, arguments)
    if not (ROOT / "uv.lock").exists() or _installed_by_hand():
        return
    was_current = _stamp(development) in _stamps()
    prepare(development=development)
    if was_current and _inside():
        return
    _enter(_environment() / "bin" / "python", module, arguments)


def _environment() -> Path:
    """The project's virtual environment; uv's own variable moves it."""
    return ROOT / (os.environ.get("UV_PROJECT_ENVIRONMENT") or ".venv")


def _inside() -> bool:
    return Path(sys.prefix).resolve() == _environment().resolve()


def _installed_by_hand() -> bool:
    """Did somebody else set this interpreter up (`uv sync`, `pip install -e .`, an image)? Then it is theirs to keep."""
    if _inside() and (_environment() / "bakewell.lock").exists():
        return False
    try:
        importlib.metadata.distribution("bakewell")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _stamp(development: bool) -> str:
    """What the environment was made from: uv.lock's digest, and for whom."""
    digest = hashlib.sha256((ROOT / "uv.lock").read_bytes()).hexdigest()
    return f"{digest} {'development' if development else 'use'}"


def _stamps() -> list[str]:
    """Empty where the environment is missing, was killed half made, or lost its interpreter."""
    try:
        found = (_environment() / "bakewell.lock").read_text().splitlines()
    except OSError:
        return []
    return found if os.access(_environment() / "bin" / "python", os.X_OK) else []


def prepare(*, development: bool) -> None:
    """Have an environment that uv.lock describes, without entering it."""
    if _stamp(development) not in _stamps():
        _install(development)


def _install(development: bool) -> None:
    """Exactly what uv.lock names, compiled: otherwise each new process compiles Prefect again."""
    if os.name != "posix":
        _refuse("to run on Linux or macOS", f"{sys.platform}", "use WSL or a container", BAD_INPUT)
    if shutil.which("git") is None:
        _refuse("git, which names the sources", "none on PATH", "install git", BAD_INPUT)
    from flows.fetch_uv import find_or_fetch

    try:
        uv = find_or_fetch(_say)
    except OSError as error:
        _refuse("uv, the installer of locked packages", str(error), _network_hint(), NO_ANSWER)
    _say(f"installing what uv.lock names into {_environment()} (minutes the first time)")
    command = [*uv, "sync", "--locked", "--inexact", "--compile-bytecode", "--project", str(ROOT)]
    command += [] if development else ["--no-dev"]
    command += [] if sys.stderr.isatty() else ["--quiet"]
    command += [] if _environment().exists() else ["--python", sys.executable]
    code = subprocess.call(command, env=_clean(), stdout=sys.stderr)
    if code != 0:
        found = f"`uv sync --locked` ended with {code}; its own words are above"
        _refuse("to install what uv.lock names", found, _network_hint(), NO_ANSWER)
    stamps = [_stamp(wanted) for wanted in (False, True) if development or not wanted]
    (_environment() / "bakewell.lock").write_text("\n".join(stamps) + "\n")


def _enter(python: Path, module: str, arguments: Sequence[str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(str(python), [str(python), "-m", module, *arguments], _clean())


def _enter_newer_python(module: str, arguments: Sequence[str]) -> NoReturn:
    for name in NEWER_PYTHONS:
        found = shutil.which(name)
        if found:
            _enter(Path(found), module, arguments)
    _refuse(
        "Python 3.11 or newer",
        f"Python {sys.version.split()[0]} at {sys.executable}, and no newer one on PATH",
        "install Python 3.11 or newer, then run this command with it",
        BAD_INPUT,
    )


def _clean() -> dict[str, str]:
    """No stray virtual environment, and compiled files kept."""
    dropped = {"VIRTUAL_ENV", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE"}
    return {name: value for name, value in os.environ.items() if name not in dropped}


def _network_hint() -> str:
    return (
        "check the network, HTTPS_PROXY and SSL_CERT_FILE, then run the same command again:"
        " what was fetched is kept"
    )


def _say(line: str) -> None:
    """On standard error: standard output belongs to the command."""
    print(f"bakewell: {line}", file=sys.stderr, flush=True)


def _refuse(asked: str, found: str, next_step: str, code: int) -> NoReturn:
    _say(f"needs {asked}; found {found}. Next: {next_step}.")
    sys.exit(code)


if __name__ == "__main__":
    prepare(development=True)
