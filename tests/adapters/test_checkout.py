"""Checking out a commit: exactly that one, and nothing that a repository could do to whoever builds it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tasks.adapters.checkout import Wanted, checked_out
from tasks.adapters.git import source_of
from tasks.adapters.git_watched import PASSWORD, CloneLimits, protocol_of, watched
from tasks.errors import (
    InvalidInputError,
    NotFoundError,
    RefusedError,
    TooLargeError,
    TransientError,
)
from tasks.model import Source
from tasks.pushes import Clone, Secret
from tests.support.repositories import bare, commit, configured, git

QUICK: Final = CloneLimits(seconds=20)
CART: Final[dict[str, bytes | str]] = {
    "cart/service.yaml": b"service: cart\n",
    "cart/run.py": b"print()\r\n",
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return bare(tmp_path / "shop.git")


@contextmanager
def check_out(shop: Path, at: str, limits: CloneLimits = QUICK, **more: str) -> Iterator[Path]:
    wanted = Wanted(at, more.get("branch", "main"), more.get("subfolder", "cart"))
    with checked_out(configured(str(shop)), wanted, shop.parent / "checkouts", limits) as found:
        yield found


def left(shop: Path) -> list[str]:
    return sorted(os.listdir(shop.parent / "checkouts"))


def test_the_folder_holds_exactly_that_commit_and_is_gone_afterwards(shop: Path) -> None:
    first = commit(shop, CART)
    commit(shop, {**CART, "cart/run.py": b"print(2)\n"})
    with check_out(shop, first) as folder:
        assert (folder / "run.py").read_bytes() == b"print()\r\n"
        assert source_of(folder) == Source(str(shop), first, dirty=False)
        assert git(folder, "rev-list", "--count", "HEAD") == "1", "nothing of its past"
        assert len(left(shop)) == 3
    assert left(shop) == []


def test_two_at_once_do_not_meet(shop: Path) -> None:
    one = commit(shop, CART)
    with check_out(shop, one) as first, check_out(shop, one) as second:
        assert first != second
        assert first.exists()
    assert left(shop) == []


def test_a_commit_or_a_folder_that_is_not_there_is_told(shop: Path) -> None:
    one = commit(shop, CART)
    with pytest.raises(NotFoundError, match="has no such commit"), check_out(shop, "f" * 40):
        pass
    with pytest.raises(NotFoundError, match="none in it"), check_out(shop, one, subfolder="x"):
        pass
    with pytest.raises(NotFoundError), check_out(shop, one, subfolder="../.."):
        pass
    with pytest.raises(InvalidInputError, match="full commit"), check_out(shop, "--upload-pack=x"):
        pass
    with pytest.raises(RefusedError), check_out(shop.parent / "nobody.git", one):
        pass
    assert left(shop) == []


def test_a_server_that_gives_no_single_commits_gives_its_branch_as_far_back_as_allowed(
    shop: Path,
) -> None:
    commits = [commit(shop, {**CART, "n": str(n).encode()}) for n in range(6)]
    old = ("-c", "protocol.version=0")
    git(shop, "config", "uploadpack.allowReachableSHA1InWant", "false")
    for at, limit, is_found in [
        (commits[0], 60, True),
        (commits[0], 3, False),
        (commits[4], 3, True),
    ]:
        limits = CloneLimits(seconds=20, commits=limit)
        asked = checked_out(
            configured(shop.as_uri()),
            Wanted(at, "main", "cart"),
            shop.parent / "checkouts",
            limits,
            git_options=old,
        )
        if is_found:
            with asked as folder:
                assert source_of(folder).commit == at
        else:
            with pytest.raises(NotFoundError, match="nor among the newest 3 of main"), asked:
                pass


def test_nothing_of_this_machines_git_nor_of_the_repository_is_run(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    hook = tmp_path / "hooks" / "post-checkout"
    hook.parent.mkdir()
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    (shop / "hooks").mkdir(exist_ok=True)
    (shop / "hooks" / "post-checkout").write_text(hook.read_text())
    settings = tmp_path / "gitconfig"
    settings.write_text(
        f'[core]\n\thooksPath = {hook.parent}\n[filter "x"]\n\tsmudge = "touch {ran}; cat"\n\trequired = true\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_SSH_COMMAND", f"touch {ran}")
    monkeypatch.setenv("GIT_DIR", str(shop))
    attributes = b"* filter=x\n*.txt eol=crlf ident working-tree-encoding=UTF-16\n"
    files = {**CART, ".gitattributes": attributes, "cart/a.txt": b"$Id$\n"}
    made = commit(shop, files)
    with check_out(shop, made) as folder:
        assert (folder / "a.txt").read_bytes() == b"$Id$\n"
    assert not ran.exists()


@pytest.mark.parametrize(
    "links",
    [
        {"cart/out": "/etc/passwd"},
        {"cart/out": "../../../x"},
        {"out": ".."},
        {"a/b/up": "../..", "a/b/out": "up/../x"},
        {"cart/config": "../.git/config"},
        {"cart/loop": "loop"},
    ],
)
def test_a_link_out_of_the_repository_is_refused(shop: Path, links: dict[str, str]) -> None:
    made = commit(shop, {**CART, **links})
    with pytest.raises(RefusedError, match="the link"), check_out(shop, made):
        pass
    assert left(shop) == []


def test_a_link_within_the_repository_is_kept(shop: Path) -> None:
    made = commit(shop, {**CART, "cart/same": "run.py", "cart/up": "../lib", "lib/x": b""})
    with check_out(shop, made) as folder:
        assert (folder / "same").read_bytes() == b"print()\r\n"
        assert (folder / "up" / "x").exists()


def test_a_submodule_is_not_fetched_and_refused_where_the_service_would_miss_it(shop: Path) -> None:
    evil = {"evil": "a" * 40}
    words = '[submodule "evil"]\n\tpath = evil\n\turl = '
    files = {**CART, ".gitmodules": f"{words}--upload-pack=x\n".encode()}
    with pytest.raises(RefusedError, match="gitmodulesUrl"), check_out(shop, commit(shop, files)):
        pass
    files[".gitmodules"] = f"{words}ext::sh -c touch% {shop.parent / 'ran'}\n".encode()
    made = commit(shop, files, submodules=evil)
    with check_out(shop, made) as folder:
        assert list((folder.parent / "evil").iterdir()) == []
    assert not (shop.parent / "ran").exists()
    made = commit(shop, files, submodules={"cart/evil": "a" * 40})
    with pytest.raises(RefusedError, match="is a submodule"), check_out(shop, made):
        pass


def test_a_bomb_is_not_unpacked(shop: Path) -> None:
    made = commit(shop, {**CART, "zeros": bytes(20_000_000)})
    small = CloneLimits(seconds=20, bytes=10_000_000)
    with pytest.raises(TooLargeError, match="more than 10000000"), check_out(shop, made, small):
        pass
    many = commit(shop, {f"f{n}": b"" for n in range(50)})
    with (
        pytest.raises(TooLargeError, match="more than 20 files"),
        check_out(shop, many, CloneLimits(files=20)),
    ):
        pass


def test_a_fetch_that_grows_too_large_or_takes_too_long_is_ended(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a `git` that writes without an end."""
    folder = tmp_path / "here"
    folder.mkdir()
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\ncd "$2"\nhead -c 300000 /dev/zero > pack\nsleep 60\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    limits = CloneLimits(bytes=200_000)
    with pytest.raises(TooLargeError, match="git fetch brought more than 200000 bytes"):
        watched(folder, configured(str(shop)), "", limits).ask("fetch")
    with pytest.raises(TransientError, match="did not end within"):
        watched(folder, configured(str(shop)), "", CloneLimits(seconds=0.3)).ask("fetch")


@pytest.mark.parametrize("url", ["ext::sh -c touch% x", "--upload-pack=x", "ssh", "a b"])
def test_a_url_that_could_run_something_is_not_even_a_setting(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        configured(url)


def test_only_the_protocol_of_the_configured_url_is_spoken(shop: Path) -> None:
    assert protocol_of("https://git.example.org/x") == "https"
    assert protocol_of("git@git.example.org:x") == "ssh"
    assert protocol_of("/var/git/x.git") == "file"
    environment = watched(shop, configured("https://git.example.org/x"), "", CloneLimits())
    assert environment.environment["GIT_ALLOW_PROTOCOL"] == "https"


def test_the_password_reaches_git_by_the_environment_and_stands_nowhere(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", 'pa"ss\\w$ord')
    clone = Clone(user='it\'s "me"', password=Secret(variable="TOKEN"))
    there = configured("https://git.example.org/x", clone)
    folder = tmp_path / "here"
    folder.mkdir()
    found = watched(folder, there, os.environ["TOKEN"], CloneLimits())
    asked = subprocess.run(
        ["git", "credential", "fill"],
        input="protocol=https\nhost=git.example.org\n\n",
        env=dict(found.environment),
        capture_output=True,
        text=True,
        check=True,
    )
    said = dict(line.split("=", 1) for line in asked.stdout.splitlines())
    assert said["username"] == 'it\'s "me"'
    assert said["password"] == 'pa"ss\\w$ord' == found.environment[PASSWORD]
    assert "ord" not in (tmp_path / "here.gitconfig").read_text().replace("password", "")


def test_what_a_dead_process_left_is_swept(shop: Path) -> None:
    made = commit(shop, CART)
    script = """
import os, sys
from pathlib import Path
from tasks.adapters.checkout import Wanted, checked_out
from tests.support.repositories import configured
with checked_out(configured(sys.argv[1]), Wanted(sys.argv[2]), Path(sys.argv[3])):
    os.kill(os.getpid(), 9)
"""
    folder = shop.parent / "checkouts"
    command = [sys.executable, "-c", script, str(shop), made, str(folder)]
    done = subprocess.run(command, check=False, timeout=60)
    assert done.returncode == -9
    assert len(left(shop)) == 3
    with check_out(shop, made):
        assert len(left(shop)) == 3
    assert left(shop) == []
