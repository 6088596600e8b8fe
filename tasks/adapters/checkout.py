"""One commit of a configured repository, in a folder of its own: exactly that commit, and nothing that it could do to us.

Fetched alone and shallow. No hooks, filters, submodules, large-file downloads or redirections; no way out by a symbolic link;
and an end in time, bytes and files (git_watched.py).
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tasks.adapters.git_watched import (
    CloneLimits,
    GitFailedError,
    WatchedGit,
    explained,
    watched,
)
from tasks.adapters.owner import is_gone, this_owner
from tasks.adapters.repositories_file import read_secret
from tasks.errors import InvalidInputError, NotFoundError, RefusedError, TooLargeError
from tasks.pushes import Repository

COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
LINK: Final = b"120000"
SUBMODULE: Final = b"160000"
FIRST_COMMITS: Final = 50
USUAL: Final = CloneLimits()

# Stronger than any .gitattributes: the bytes in the folder are those of the commit, whatever it wishes.
ATTRIBUTES: Final = "* -text -eol -ident -filter -working-tree-encoding\n"


@dataclass(frozen=True)
class Wanted:
    """`branch` is only needed where a server does not give single commits; `subfolder` is where the service is."""

    commit: str
    branch: str = ""
    subfolder: str = "."


@contextmanager
def checked_out(
    repository: Repository,
    wanted: Wanted,
    folder: Path,
    limits: CloneLimits = USUAL,
    *,
    git_options: tuple[str, ...] = (),
) -> Iterator[Path]:
    """The folder of the service at that commit; gone afterwards. `folder` is where all checkouts of this machine are.

    NotFoundError if there is no such commit or folder in it, RefusedError for what it must not hold, TooLargeError,
    TransientError if the repository did not answer in time.
    """
    if not COMMIT.fullmatch(wanted.commit):
        raise InvalidInputError(f"asked to check out {wanted.commit!r}; it must be a full commit")
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    here = _own(folder, wanted.commit)
    try:
        password = read_secret(repository.clone.password) if repository.clone.password else ""
        git = watched(here, repository, password, limits)
        _fetch(git, repository, wanted, git_options)
        _check_tree(git, repository, wanted)
        _check_out(git, wanted.commit)
        yield _subfolder(here, wanted, repository)
    finally:
        _remove(here)


def sweep(folder: Path) -> None:
    """What dead processes left."""
    for note in folder.glob("*.owner"):
        with suppress(OSError):
            if is_gone(note.read_text()):
                _remove(note.with_suffix(""))


def _own(folder: Path, commit: str) -> Path:
    """A new folder, with a note whose it is, which is there first."""
    number = 1
    while True:
        here = folder / f"{commit[:12]}-{number}"
        try:
            with here.with_name(f"{here.name}.owner").open("x") as note:
                note.write(this_owner(f"checkout of {commit[:12]}"))
        except FileExistsError:
            number += 1
            continue
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir()
        return here


def _remove(here: Path) -> None:
    shutil.rmtree(here, ignore_errors=True)
    for name in (f"{here.name}.gitconfig", f"{here.name}.owner"):
        here.with_name(name).unlink(missing_ok=True)


# ---- fetching ------------------------------------------------------------------------------------


def _fetch(
    git: WatchedGit, repository: Repository, wanted: Wanted, options: tuple[str, ...]
) -> None:
    what = f"the commit {wanted.commit}"
    try:
        git.ask("init", "--quiet", "--template=")
        git.ask("config", "remote.origin.url", repository.url)
        (git.folder / ".git" / "info").mkdir(exist_ok=True)
        (git.folder / ".git" / "info" / "attributes").write_text(ATTRIBUTES)
        try:
            git.ask(*options, "fetch", *QUIETLY, "--depth=1", "origin", wanted.commit)
        except GitFailedError as refused:
            if not _has_no_single_commits(refused) or not wanted.branch:
                raise
            _fetch_branch(git, repository, wanted, options)
        found = git.ask("rev-parse", "--verify", "--quiet", f"{wanted.commit}^{{commit}}")
    except GitFailedError as error:
        if _has_no_single_commits(error) or str(error) == "nothing":
            raise NotFoundError(
                f"asked {repository.url} for {what}; it has no such commit (any more)"
            ) from error
        raise explained(error, repository, what) from error
    if found.strip().decode() != wanted.commit:
        raise RefusedError(f"asked {repository.url} for {what}; it sent {found[:80]!r}")


QUIETLY: Final = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")


def _has_no_single_commits(error: GitFailedError) -> bool:
    said = str(error).lower()
    return any(
        one in said
        for one in ("not our ref", "unadvertised object", "couldn't find remote ref", "no such ref")
    )


def _fetch_branch(
    git: WatchedGit, repository: Repository, wanted: Wanted, options: tuple[str, ...]
) -> None:
    """Old servers give branches only: this one, as far back as the commit may be."""
    depth = min(FIRST_COMMITS, git.limits.commits)
    while True:
        ref = f"refs/heads/{wanted.branch}"
        git.ask(*options, "fetch", *QUIETLY, f"--depth={depth}", "origin", ref + ":" + FETCHED)
        try:
            git.ask("cat-file", "-e", wanted.commit)
            return
        except GitFailedError as error:
            if depth >= git.limits.commits:
                raise NotFoundError(
                    f"asked {repository.url} for the commit {wanted.commit}; it has no such commit (any more) that it"
                    f" gives by itself, nor among the newest {depth} of {wanted.branch}"
                ) from error
        depth = min(depth * 5, git.limits.commits)


FETCHED: Final = "refs/fetched"


# ---- looking before anything is written ----------------------------------------------------------


def _check_tree(git: WatchedGit, repository: Repository, wanted: Wanted) -> None:
    listed = git.ask("ls-tree", "-r", "-l", "-z", "--full-tree", wanted.commit).split(b"\0")
    total = 0
    if len(listed) > git.limits.files:
        raise TooLargeError(f"{repository.url} has more than {git.limits.files} files")
    inside = "" if wanted.subfolder in (".", "") else f"{wanted.subfolder.strip('/')}/"
    for line in filter(None, listed):
        words, _, path = line.partition(b"\t")
        mode, _, _, size = words.split()
        total += int(size) if size.isdigit() else 0
        if mode == SUBMODULE and path.startswith(inside.encode()):
            raise RefusedError(
                f"{path.decode(errors='replace')!r} of {repository.url} is a submodule, and those are not fetched: what"
                " is in it would be missing; put its files into the repository, or bake them from a base"
            )
    if total > git.limits.bytes:
        raise TooLargeError(
            f"the files of {repository.url} at {wanted.commit} have {total} bytes, more than {git.limits.bytes}"
        )


def _check_out(git: WatchedGit, commit: str) -> None:
    try:
        git.ask("checkout", "--quiet", "--detach", "--force", commit)
        found = git.ask("rev-parse", "--verify", "HEAD").strip().decode()
        changed = git.ask("status", "--porcelain", "--ignore-submodules=all")
    except GitFailedError as error:
        raise RefusedError(f"checking out {commit}: git said: {error}") from error
    if found != commit or changed.strip():
        raise RefusedError(
            f"checked out {commit}; found {found} with changes {changed[:200]!r}; two of its files may differ in"
            " nothing but capitals"
        )
    _check_links(git)


def _check_links(git: WatchedGit) -> None:
    """By where they really lead, through other links, too."""
    root = git.folder.resolve()
    for line in git.ask("ls-files", "-s", "-z").split(b"\0"):
        words, _, path = line.partition(b"\t")
        if not words.startswith(LINK):
            continue
        name = path.decode(errors="surrogateescape")
        try:
            leads = (root / name).resolve()
        except (OSError, RuntimeError) as error:
            raise RefusedError(f"the link {name!r} leads nowhere: {error}") from error
        if not leads.is_relative_to(root) or leads.is_relative_to(root / ".git"):
            raise RefusedError(f"the link {name!r} leads out of the repository")


def _subfolder(here: Path, wanted: Wanted, repository: Repository) -> Path:
    found = (here / wanted.subfolder).resolve()
    if not found.is_relative_to(here.resolve()) or not found.is_dir():
        raise NotFoundError(
            f"asked for the folder {wanted.subfolder!r} of {repository.url} at {wanted.commit[:12]}; there is none in it"
        )
    return found
