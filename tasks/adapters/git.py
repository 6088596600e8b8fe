"""Which source a folder holds, asked of the `git` program: it knows worktrees, submodules and who may read what."""

import logging
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from tasks.model import Source

LOGGER = logging.getLogger(__name__)
GIT_SECONDS = 60
OPTIONS = ["-c", "core.fsmonitor=false", "-c", "core.quotePath=false"]
# Set inside Git hooks: they would make git answer for another repository than the folder's.
STRANGERS = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
)


class _NoAnswerError(Exception):
    """git did not answer; the text says why."""


def source_of(folder: Path, on_problem: Callable[[str], object] = LOGGER.info) -> Source:
    """The commit of the folder, and whether the folder differs from it (changed, staged or untracked files in it).

    Whatever git cannot tell is told to `on_problem`; the source is then a dirty tree of no commit, never a clean one.
    Files that .gitignore names do not count as differences.
    """
    repository = folder.resolve().name
    try:
        repository = _remote(folder) or repository
        commit = _ask(folder, "rev-parse", "--verify", "HEAD^{commit}").strip()
        changes = _ask(folder, "status", "--porcelain", "--untracked-files=normal", "--", ".")
        tracked = _ask(folder, "ls-files", "--", ".")
    except _NoAnswerError as problem:
        on_problem(
            f"asked git for the source of {folder}; {problem}; treated as a dirty tree of an unknown commit"
        )
        return Source(repository, "", True)
    return Source(repository, commit, bool(changes.strip()) or not tracked.strip())


def _remote(folder: Path) -> str:
    _ask(folder, "rev-parse", "--git-dir")
    try:
        return without_credentials(_ask(folder, "config", "--get", "remote.origin.url").strip())
    except _NoAnswerError:
        return ""


def without_credentials(url: str) -> str:
    """The remote's address; a user name alone stays where it is part of the address (ssh)."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    if parts.scheme in ("ssh", "git+ssh"):
        user = f"{parts.username}@" if parts.username else ""
    else:
        user = ""
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=user + host, query="", fragment="").geturl()


def _ask(folder: Path, *arguments: str) -> str:
    environment = {name: text for name, text in os.environ.items() if name not in STRANGERS}
    environment |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            ["git", *OPTIONS, "-C", str(folder), *arguments],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=GIT_SECONDS,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError as error:
        raise _NoAnswerError("git is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise _NoAnswerError(f"git {arguments[0]} did not end in {GIT_SECONDS} s") from error
    if done.returncode:
        said = re.sub(r"//[^/@\s]+@", "//", " ".join(done.stderr.split()))
        raise _NoAnswerError(f"git {arguments[0]} said: {said[:300] or done.returncode}")
    return done.stdout
