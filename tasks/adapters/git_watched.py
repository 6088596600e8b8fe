"""Running `git` on what strangers wrote: with settings of ours alone, and with an end, in time and in bytes."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from tasks.errors import RefusedError, TooLargeError, TransientError
from tasks.pushes import Clone, Repository

PASSWORD: Final = "BAKEWELL_CLONE_PASSWORD"
LOOK_SECONDS: Final = 0.1
MAX_OUTPUT: Final = 50_000_000
DENIED: Final = (
    "authentication failed",
    "could not read username",
    "could not read password",
    "permission denied",
    "repository not found",
    "does not appear to be a git repository",
    "host key verification failed",
    "unable to update url base from redirection",
    "dubious ownership",
    "not allowed",
    "fsck error",
    "error in object",
)
"""What asking again will not change."""

# Of nobody else: no hook, filter, alias or credential helper of this machine's user, or of the repository.
CONFIG: Final = """\
[core]
	hooksPath = /dev/null
	fsmonitor = false
	symlinks = true
	protectHFS = true
	protectNTFS = true
	quotePath = false
[fetch]
	fsckObjects = true
	recurseSubmodules = false
[submodule]
	recurse = false
[transfer]
	credentialsInUrl = die
[http]
	followRedirects = false
	lowSpeedLimit = 1000
	lowSpeedTime = 30
[gc]
	auto = 0
[maintenance]
	auto = false
[advice]
	detachedHead = false
"""
HELPER: Final = """\
[credential]
	helper =
	helper = "!f() {{ test \\"$1\\" = get && printf 'username=%s\\\\npassword=%s\\\\n' {user} \\"${password}\\"; }}; f"
"""


@dataclass(frozen=True)
class CloneLimits:
    """`commits`: how far back a branch is read where a server gives no single commit."""

    seconds: float = 300.0
    bytes: int = 1_000_000_000
    files: int = 200_000
    commits: int = 1_000


class GitFailedError(Exception):
    """git said no; the text is what it said."""


@dataclass(frozen=True)
class WatchedGit:
    """In one folder, all of whose content is watched. `environment` is everything that git hears of this machine."""

    folder: Path
    environment: Mapping[str, str]
    limits: CloneLimits
    ends_at: float

    def ask(self, *arguments: str) -> bytes:
        """What it prints. GitFailedError, TransientError when the time is over, TooLargeError."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                ["git", "-C", str(self.folder), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                env=dict(self.environment),
                start_new_session=True,
            )
            try:
                self._watch(process, arguments[0])
            finally:
                _end(process)
            if process.returncode:
                raise GitFailedError(" ".join(_text(errors).split())[:500] or "nothing")
            out.seek(0)
            return out.read(MAX_OUTPUT)

    def _watch(self, process: subprocess.Popen[bytes], what: str) -> None:
        """Its size is looked at less often as it grows: to count a hundred thousand files takes longer than a tenth."""
        look = LOOK_SECONDS
        while True:
            try:
                process.wait(look)
                return
            except subprocess.TimeoutExpired:
                begin = time.monotonic()
            if size_of(self.folder, self.limits.bytes) > self.limits.bytes:
                raise TooLargeError(
                    f"git {what} brought more than {self.limits.bytes} bytes; it was given up"
                )
            if time.monotonic() > self.ends_at:
                raise TransientError(
                    f"git {what} did not end within {self.limits.seconds:g} s; it was given up"
                )
            look = max(LOOK_SECONDS, 5 * (time.monotonic() - begin))


def watched(folder: Path, repository: Repository, password: str, limits: CloneLimits) -> WatchedGit:
    """For a folder of its own: the settings lie beside it."""
    settings = folder.with_name(f"{folder.name}.gitconfig")
    settings.write_text(_settings(repository))
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    environment |= {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(settings),
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": protocol_of(repository.url),
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_SSH_COMMAND": _ssh(repository.clone),
        "LC_ALL": "C",
    }
    environment.pop("SSH_ASKPASS", None)
    if password:
        environment[PASSWORD] = password
    return WatchedGit(folder, environment, limits, time.monotonic() + limits.seconds)


def protocol_of(url: str) -> str:
    """The only one that git may speak: not `ext::`, nor where a redirection leads."""
    for scheme in ("https", "http", "ssh"):
        if url.startswith(f"{scheme}://"):
            return scheme
    return "file" if url.startswith(("/", "file:///")) else "ssh"


def explained(error: GitFailedError, repository: Repository, what: str) -> Exception:
    """The error to raise instead."""
    said = f"asked {repository.url} for {what}; git said: {error}"
    if any(one in str(error).lower() for one in DENIED):
        return RefusedError(f"{said}; check its URL and `clone` in the file of repositories")
    return TransientError(f"{said}; asking again may help")


def size_of(folder: Path, enough: int) -> int:
    """Bytes on disk; counting ends once it is more than `enough`."""
    total, folders = 0, [folder]
    while folders and total <= enough:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue  # git has moved it meanwhile
    return total


def _settings(repository: Repository) -> str:
    parts = [CONFIG]
    if repository.clone.password:
        parts.append(HELPER.format(user=_quoted(repository.clone.user), password=PASSWORD))
    if protocol_of(repository.url) == "file":  # the folder may be another user's: the file of
        folder = repository.url.removeprefix("file://")  # repositories says that it is meant
        parts.append(f'[safe]\n\tdirectory = "{_escaped(folder)}"\n')
    return "".join(parts)


def _quoted(user: str) -> str:
    """As a word for the shell, within double quotes of git's."""
    word = "'" + user.replace("'", "'\\''") + "'"
    return _escaped(word)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _ssh(clone: Clone) -> str:
    key = f" -o IdentitiesOnly=yes -i '{clone.ssh_key}'" if clone.ssh_key else ""
    return f"ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=20{key}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """With all that it has started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(10_000).decode(errors="replace")
