"""Where uv comes from: PATH, this Python, what was fetched before, pip, or the package index. Standard library only."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Say = Callable[[str], None]

OLDEST_UV = (0, 7)
PUBLIC_INDEX = "https://pypi.org/simple"
WHEEL = re.compile(r"uv-(?P<version>\d+(\.\d+)+)-py3-none-(?P<platform>[^-]+)\.whl")
LINUX = re.compile(r"(?P<libc>manylinux|musllinux)_(?P<major>\d+)_(?P<minor>\d+)_(?P<machine>\w+)")
MACOS = re.compile(r"macosx_(?P<major>\d+)_(?P<minor>\d+)_(?P<machine>\w+)")


def find_or_fetch(say: Say) -> list[str]:
    """The command that runs uv. OSError, with every way that was tried, if there is none to be had."""
    usable = (command for command in _known() if _is_usable(command))
    return next(usable, None) or [_fetch(say)]


def _known() -> list[list[str]]:
    found = which("uv")
    commands = [[found]] if found else []
    if importlib.util.find_spec("uv") is not None:
        commands.append([sys.executable, "-m", "uv"])
    return [*commands, *([str(path)] for path in sorted(_cache().glob("uv-*/uv"), reverse=True))]


def _is_usable(command: list[str]) -> bool:
    """It runs here (a shim may not), and can read uv.lock."""
    try:
        said = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=60, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    return _numbers(said) >= OLDEST_UV


def _numbers(text: str) -> tuple[int, ...]:
    found = re.search(r"\d+(\.\d+)+", text)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def _cache() -> Path:
    home = Path(os.path.expanduser("~"))
    usual = home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or usual) / "bakewell"


def _fetch(say: Say) -> str:
    """pip first: it knows the user's index, proxy and certificates. Each way fills a folder that is renamed when whole."""
    say("fetching uv, which installs locked packages")
    failures = []
    _cache().mkdir(parents=True, exist_ok=True)
    for name, way in (("pip", _by_pip), ("a pip of its own", _by_own_pip), ("HTTP", _by_http)):
        with tempfile.TemporaryDirectory(dir=_cache()) as draft:
            try:
                uv = way(Path(draft))
                kept = _cache() / f"uv-{name.split()[0]}-{os.getpid()}"
                (Path(draft) / "bin").rename(kept)
                return str(kept / uv.name)
            except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
                failures.append(f"{name}: {_reason(error)}")
    raise OSError("none; tried " + "; ".join(failures))


def _reason(error: BaseException) -> str:
    if isinstance(error, subprocess.CalledProcessError) and error.stderr:
        return str(error.stderr).strip().splitlines()[-1]
    return str(error) or type(error).__name__


def _by_pip(draft: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise OSError("this Python has none")
    return _pip(sys.executable, draft)


def _by_own_pip(draft: Path) -> Path:
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        raise OSError("this Python lacks ensurepip or venv")
    own = draft / "venv"
    subprocess.run(
        [sys.executable, "-m", "venv", str(own)], capture_output=True, text=True, check=True
    )
    return _pip(str(own / "bin" / "python"), draft)


def _pip(python: str, draft: Path) -> Path:
    wanted = f"uv>={'.'.join(str(part) for part in OLDEST_UV)}"
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]
    command = [python, "-m", "pip", "install", *options, "--target", str(draft), wanted]
    subprocess.run(command, capture_output=True, text=True, check=True)
    return _checked(draft / "bin" / "uv")


def _by_http(draft: Path) -> Path:
    """The newest wheel for this machine, checked against the index's digest, unpacked."""
    index = (_index_setting() or PUBLIC_INDEX).rstrip("/")
    page = f"{index}/uv/"
    files = json.loads(_get(page, "application/vnd.pypi.simple.v1+json"))["files"]
    file = _newest(files)
    content = _get(urllib.parse.urljoin(page, file["url"]), "*/*")
    if hashlib.sha256(content).hexdigest() != file["hashes"]["sha256"]:
        raise OSError(f"{file['filename']} is not what the index says it is")
    target = draft / "bin" / "uv"
    target.parent.mkdir()
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        member = next(name for name in wheel.namelist() if name.endswith(".data/scripts/uv"))
        target.write_bytes(wheel.read(member))
    target.chmod(0o755)
    return _checked(target)


def _checked(uv: Path) -> Path:
    if not _is_usable([str(uv)]):
        raise OSError("it brought a uv that does not run on this machine")
    return uv


def _index_setting() -> str | None:
    names = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _get(url: str, accept: str) -> bytes:
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=60) as answer:
        content: bytes = answer.read()
        return content


def _newest(files: list[dict[str, Any]]) -> dict[str, Any]:
    fitting = [file for file in files if not file.get("yanked") and _fits(str(file["filename"]))]
    if not fitting:
        here = f"{platform.system()} {platform.machine()}"
        raise OSError(f"the index has no uv for {here}")
    return max(fitting, key=lambda file: _numbers(str(file["filename"])))


def _fits(filename: str) -> bool:
    """Does the wheel run here? Its name says which C library or macOS it needs at least."""
    wheel = WHEEL.fullmatch(filename)
    return wheel is not None and any(_tag_fits(tag) for tag in wheel["platform"].split("."))


def _tag_fits(tag: str) -> bool:
    for pattern, here in ((LINUX, _libc_version()), (MACOS, _macos_version())):
        found = pattern.fullmatch(tag)
        if found and found["machine"] in (platform.machine(), "universal2"):
            return (int(found["major"]), int(found["minor"])) <= here and _libc_fits(found)
    return False


def _libc_fits(found: re.Match[str]) -> bool:
    libc = found.groupdict().get("libc")
    return libc is None or (libc == "manylinux") == (platform.libc_ver()[0] == "glibc")


def _libc_version() -> tuple[int, ...]:
    """Of glibc; musl does not tell, and is compatible with its past."""
    if sys.platform != "linux":
        return ()
    name, version = platform.libc_ver()
    return _numbers(version)[:2] if name == "glibc" else (9, 9)


def _macos_version() -> tuple[int, ...]:
    return _numbers(platform.mac_ver()[0])[:2] if sys.platform == "darwin" else ()
