"""Bare Git repositories with any content, made without a working tree: also what no honest person would commit."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tasks.pushes import Clone, Forge, PushedService, Repository, Secret

ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "Baker",
    "GIT_AUTHOR_EMAIL": "baker@example.org",
    "GIT_COMMITTER_NAME": "Baker",
    "GIT_COMMITTER_EMAIL": "baker@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        check=True,
        capture_output=True,
        input=stdin,
        env=os.environ | ENVIRONMENT,
    )
    return done.stdout.decode().strip()


def bare(folder: Path) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main")
    return folder


def commit(
    repository: Path,
    files: Mapping[str, bytes | str],
    *,
    branch: str = "main",
    submodules: Mapping[str, str] | None = None,
) -> str:
    """On top of the branch. A text is where a symbolic link leads, bytes are a file."""
    lines = []
    for path, content in files.items():
        raw = content if isinstance(content, bytes) else content.encode()
        blob = git(repository, "hash-object", "-w", "--stdin", stdin=raw)
        mode = "100644" if isinstance(content, bytes) else "120000"
        lines.append(f"{mode} {blob}\t{path}")
    for path, of in (submodules or {}).items():
        lines.append(f"160000 {of}\t{path}")
    index = {"GIT_INDEX_FILE": str(repository / "made-here")}
    subprocess.run(
        ["git", "-C", str(repository), "update-index", "--index-info"],
        input="".join(f"{one}\n" for one in lines).encode(),
        check=True,
        env=os.environ | ENVIRONMENT | index,
    )
    tree = subprocess.run(
        ["git", "-C", str(repository), "write-tree"],
        check=True,
        capture_output=True,
        env=os.environ | ENVIRONMENT | index,
    ).stdout.decode()
    (repository / "made-here").unlink()
    parents = git(repository, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
    before = ["-p", parents] if parents else []
    made = git(repository, "commit-tree", tree.strip(), *before, "-m", f"of {sorted(files)}")
    git(repository, "update-ref", f"refs/heads/{branch}", made)
    return made


def configured(url: str, clone: Clone | None = None) -> Repository:
    return Repository(
        name="shop",
        url=url,
        forge=Forge.GENERIC,
        secret=Secret(variable="UNUSED"),
        services=(PushedService(service="cart", folder="cart"),),
        clone=clone or Clone(),
    )
