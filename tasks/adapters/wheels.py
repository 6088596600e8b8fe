"""Python packages as files: downloads hash-locked wheels with pip, unpacks them with `installer`; runs nothing of theirs.

pip and not a client of our own: indexes, mirrors, credentials and proxies are then as the user set them up for pip.
"""

import base64
import csv
import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from installer import install
from installer.destinations import WheelDestination
from installer.exceptions import InstallerError
from installer.records import Hash, InvalidRecordEntry, RecordEntry
from installer.sources import WheelFile
from packaging.markers import default_environment
from packaging.tags import interpreter_name, interpreter_version, sys_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from tasks.errors import CorruptError, InvalidInputError, RefusedError, TransientError

DOWNLOAD_SECONDS = 900.0
WRONG_WHEEL = (
    InstallerError,
    InvalidRecordEntry,
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    ValueError,
    AssertionError,
)
LEFT_OUT = "headers"
PROGRAMS = "bin"  # as pip install --target has it
NAMES_INTERPRETER = (
    b"#!python"  # an installer puts its own one there (PyPA's specification of wheels)
)
NETWORK = re.compile(
    r"connection|timed out|name resolution|getaddrinfo|unreachable|temporarily|proxyerror|50[0234] server",
    re.IGNORECASE,
)


class Locked(Protocol):
    """A package of one version and the sha256 (hex) its files may have."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def sha256(self) -> frozenset[str]: ...


def interpreter() -> str:
    """What chooses among a package's wheels: `cp311-linux-x86_64`."""
    machine = os.uname()
    python = f"{interpreter_name()}{interpreter_version()}"
    return f"{python}-{machine.sysname.lower()}-{machine.machine}"


def marker_environment() -> Mapping[str, str]:
    """What markers such as `python_version < "3.12"` are compared with (PEP 508)."""
    return {name: str(value) for name, value in default_environment().items()}


def fetch(
    packages: Sequence[Locked], cache: Path, seconds: float = DOWNLOAD_SECONDS
) -> tuple[Path, ...]:
    """One wheel for each package, from the cache (a folder by sha256) or downloaded into it; none is trusted unhashed."""
    missing = [package for package in packages if _cached(package, cache) is None]
    if missing:
        with _disk(cache):
            _download(missing, cache, seconds)
    found = [(package, _cached(package, cache)) for package in packages]
    if absent := [f"{package.name}=={package.version}" for package, path in found if path is None]:
        raise RefusedError(
            f"asked pip for {', '.join(absent)}; what it brought has none of the locked hashes; lock again"
        )
    return tuple(path for _, path in found if path is not None)


def chosen(package: Locked, cache: Path) -> str:
    """The sha256 (hex) of the wheel in the cache that `fetch` takes; empty if there is none. Bytes are not read again."""
    return next((sha256 for sha256, _ in _candidates(package, cache)), "")


def _cached(package: Locked, cache: Path) -> Path | None:
    for sha256, path in _candidates(package, cache):
        if _sha256(path) == sha256:
            return path
        shutil.rmtree(path.parent)
    return None


def _candidates(package: Locked, cache: Path) -> Iterator[tuple[str, Path]]:
    """Wheels of the package that fit this machine, best first."""
    for sha256 in sorted(package.sha256):
        for path in sorted((cache / sha256).glob("*.whl")):
            if not _unfit(path.name):
                yield sha256, path


def _unfit(file_name: str) -> str:
    """Why this wheel cannot run on linux x86-64 under this interpreter; empty if it can."""
    try:
        tags = parse_wheel_filename(file_name)[3]
    except InvalidWheelFilename as error:
        return str(error)
    for_linux = {t for t in tags if t.platform == "any" or re.match(r".*linux.*x86_64", t.platform)}
    if for_linux & set(sys_tags()):
        return ""
    return f"it is for {', '.join(sorted(map(str, tags)))}; needed: any, or {interpreter()}"


def _download(packages: Sequence[Locked], cache: Path, seconds: float) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="incoming-") as name:
        folder = Path(name)
        (folder / "lock.txt").write_text("\n".join(map(_line, packages)))
        _run_pip(folder, seconds)
        for path in sorted((folder / "wheels").iterdir()):
            if reason := _unfit(path.name):
                raise RefusedError(
                    f"asked pip for wheels; found {path.name}: {reason}; bake on linux x86-64 with the Python of "
                    "the artifact, or lock another version"
                )
            _keep(path, cache)


def _line(package: Locked) -> str:
    hashes = " ".join(f"--hash=sha256:{value}" for value in sorted(package.sha256))
    return f"{package.name}=={package.version} {hashes}"


def _keep(path: Path, cache: Path) -> None:
    sha256 = _sha256(path)
    ready = Path(tempfile.mkdtemp(dir=path.parent.parent))
    path.rename(ready / path.name)
    try:
        ready.rename(cache / sha256)
    except OSError:
        if not (cache / sha256).is_dir():  # not: another bake was quicker
            raise


def _run_pip(folder: Path, seconds: float) -> None:
    """Nothing but wheels: building an sdist would run its code. No dependencies: the lock names them all."""
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input"]
    command += ["--progress-bar=off", "--require-hashes", "--only-binary=:all:", "--no-deps"]
    command += ["--dest", str(folder / "wheels"), "--requirement", str(folder / "lock.txt")]
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as pip:
        try:
            said, _ = pip.communicate(timeout=seconds)
        except BaseException as error:
            os.killpg(pip.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise TransientError(
                f"asked pip for wheels; it did not end in {seconds:.0f} s and was killed; check its index"
            ) from error
    if pip.returncode:
        raise _pip_failed(said)


def _pip_failed(said: str) -> RefusedError | TransientError:
    shown = re.sub(r"//[^/@\s]+@", "//****@", said)
    errors = [line for line in shown.splitlines() if line.startswith(("ERROR", "    "))] or [shown]
    found = " ".join(" ".join(errors).split())[:600]
    if "DO NOT MATCH THE HASHES" in said:
        return CorruptError(
            f"asked pip for wheels; {found}; the index serves other bytes than were locked: find out why"
        )
    if NETWORK.search(said):
        return TransientError(f"asked pip for wheels; the index did not answer: {found}; try again")
    return InvalidInputError(
        f"asked pip for wheels; {found}; only wheels that fit {interpreter()} can be baked: lock a version that "
        "has one, and check the index pip uses (`pip config list`)"
    )


def unpack(wheels: Sequence[Path], folder: Path) -> None:
    """Into `folder`, as `pip install --target` would, but without byte code, and without scripts that would name an interpreter
    of this machine: programs that a wheel brings are in `bin`. With .dist-info for scanners."""
    owners: dict[str, str] = {}
    for path in wheels:
        with _disk(folder), _readable(path) as wheel, warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", RuntimeWarning
            )  # byte code in a wheel is left out: so we want it
            install(wheel, _Folder(folder, path.name, owners), {"INSTALLER": b"bakewell\n"})


@contextmanager
def _readable(path: Path) -> Iterator[WheelFile]:
    try:
        with WheelFile.open(path) as wheel:
            yield wheel
    except WRONG_WHEEL as error:
        raise InvalidInputError(
            f"asked to unpack {path.name}; it is no proper wheel: {error}; lock another version"
        ) from error


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RefusedError(
            f"asked to keep packages in {folder}; found {error.strerror or error}; check the disk and who may write there"
        ) from error


class _Folder(WheelDestination):
    """Where `installer` puts a wheel's files. `owners`: which wheel each path came from."""

    def __init__(self, root: Path, wheel: str, owners: dict[str, str]) -> None:
        self._root, self._wheel, self._owners = root, wheel, owners

    def write_script(self, name: str, module: str, attr: str, section: str) -> RecordEntry:
        return RecordEntry(name, None, None)

    def write_file(
        self, scheme: str, path: str | os.PathLike[str], stream: BinaryIO, is_executable: bool
    ) -> RecordEntry:
        name = os.fspath(path)
        is_program = scheme == "scripts"
        if scheme == LEFT_OUT or (is_program and _names_interpreter(stream)):
            return RecordEntry(name, None, None)
        name = f"{PROGRAMS}/{name}" if is_program else name
        digest, size = self._write(name, stream, 0o755 if is_executable or is_program else 0o644)
        value = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        return RecordEntry(name, Hash("sha256", value), size)

    def finalize_installation(
        self, scheme: str, record_file_path: str, records: Iterable[tuple[str, RecordEntry]]
    ) -> None:
        """RECORD lists what is there, sorted: nothing of this machine, nothing that was left out."""
        of_ours = ("scripts", LEFT_OUT)  # without a hash, these were not written
        kept = sorted(one.to_row() for name, one in records if one.hash_ or name not in of_ours)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(kept)
        self._write(record_file_path, io.BytesIO(text.getvalue().encode()), 0o644)

    def _write(self, name: str, stream: BinaryIO, mode: int) -> tuple[bytes, int]:
        """The content's sha256 and size in bytes."""
        target = self._inside(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._root.parent, delete=False) as file:
            shutil.copyfileobj(stream, file)
            size = file.tell()
        digest = _sha256(Path(file.name))
        owner = self._owners.setdefault(name, self._wheel)
        if owner != self._wheel and _sha256(target) != digest:
            raise InvalidInputError(
                f"asked to unpack {self._wheel}; it and {owner} both bring {name}, with different content; "
                "lock only one of them"
            )
        os.replace(file.name, target)
        target.chmod(mode)
        return bytes.fromhex(digest), size

    def _inside(self, name: str) -> Path:
        target = Path(os.path.normpath(self._root / name))
        if not target.is_relative_to(self._root) or target == self._root:
            raise InvalidInputError(
                f"asked to unpack {self._wheel}; its member {name!r} leads out of the folder; do not use it"
            )
        return target


def _names_interpreter(stream: BinaryIO) -> bool:
    begins = stream.read(len(NAMES_INTERPRETER))
    stream.seek(0)
    return begins == NAMES_INTERPRETER


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
