"""Which commit a folder holds, and when it is not quite that commit; asked of real repositories."""

import os
import subprocess
from pathlib import Path

import pytest

from tasks.adapters.git import source_of, without_credentials
from tasks.model import Source


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Baker", "-c", "user.email=baker@example.org"]
    done = subprocess.run(
        ["git", *identity, "-C", str(folder), *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "bakery"
    for part in ("hello", "other"):
        (folder / part).mkdir(parents=True)
        (folder / part / "main.py").write_text("print()\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    git(folder, "remote", "add", "origin", "https://me:token@example.org/bakery.git")
    return folder


def no_problem(text: str) -> None:
    raise AssertionError(text)


def test_a_clean_folder_is_its_commit(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    found = source_of(repository / "hello", no_problem)
    assert found == Source("https://example.org/bakery.git", commit, dirty=False)


@pytest.mark.parametrize("change", ["edited", "staged", "untracked", "deleted"])
def test_any_difference_makes_it_dirty(repository: Path, change: str) -> None:
    main = repository / "hello" / "main.py"
    if change == "deleted":
        main.unlink()
    elif change == "untracked":
        (main.parent / "ünew file").write_text("x")
    else:
        main.write_text("changed\n")
    if change == "staged":
        git(repository, "add", ".")
    assert source_of(repository / "hello", no_problem).dirty
    assert not source_of(repository / "other", no_problem).dirty


def test_ignored_files_are_no_difference_but_a_wholly_ignored_folder_is(repository: Path) -> None:
    (repository / ".gitignore").write_text("*.pyc\nbuilt/\n")
    git(repository, "add", ".gitignore")
    git(repository, "commit", "--quiet", "-m", "ignore")
    (repository / "hello" / "x.pyc").write_bytes(b"")
    (repository / "built").mkdir()
    (repository / "built" / "x").write_bytes(b"")
    assert not source_of(repository / "hello", no_problem).dirty
    assert source_of(repository / "built", no_problem).dirty


def test_outside_git_it_is_a_dirty_tree_and_the_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    told: list[str] = []
    assert source_of(tmp_path, told.append) == Source(tmp_path.name, "", True)
    assert "not a git repository" in told[0]


def test_a_repository_without_commits_is_a_dirty_tree(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    told: list[str] = []
    assert source_of(tmp_path, told.append) == Source(tmp_path.name, "", True)
    assert told


def test_without_a_remote_the_folder_names_it(repository: Path) -> None:
    git(repository, "remote", "remove", "origin")
    assert source_of(repository / "hello", no_problem).repository == "hello"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a folder to somebody else")
def test_a_repository_of_another_user_is_a_dirty_tree_and_the_reason_is_told(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.delenv("SUDO_UID", raising=False)
    for path in (repository, repository / ".git"):
        os.chown(path, 12345, 12345)
    told: list[str] = []
    assert source_of(repository / "hello", told.append) == Source("hello", "", True)
    assert "dubious ownership" in told[0]


def test_a_missing_git_is_told(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    told: list[str] = []
    assert source_of(repository, told.append).dirty
    assert "git is not installed" in told[0]


def test_inside_a_git_hook_the_folder_still_counts(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other-repository"
    other.mkdir()
    git(other, "init", "--quiet")
    commit = git(repository, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert source_of(repository / "hello", no_problem).commit == commit


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:token@example.org/a.git", "https://example.org/a.git"),
        ("https://token@example.org:8443/a?key=1", "https://example.org:8443/a"),
        ("ssh://git:pw@example.org/a.git", "ssh://git@example.org/a.git"),
        ("git@example.org:a/b.git", "git@example.org:a/b.git"),
        ("/var/git/a.git", "/var/git/a.git"),
    ],
)
def test_remotes_are_shown_without_credentials(url: str, shown: str) -> None:
    assert without_credentials(url) == shown
