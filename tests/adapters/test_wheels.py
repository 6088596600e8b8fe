"""Wheels are downloaded by hash, kept by hash, and unpacked the same everywhere; nothing of theirs is run."""

import os
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import pytest

from tasks.adapters import wheels
from tasks.adapters.wheels import fetch, unpack
from tasks.errors import CorruptError, InvalidInputError, RefusedError, TransientError
from tests.support.baking import make_wheel, pip_uses, sha256


@dataclass(frozen=True)
class Pin:
    name: str
    version: str
    sha256: frozenset[str]


def pin(path: Path) -> Pin:
    name, version = path.name.split("-")[:2]
    return Pin(name, version, frozenset({sha256(path)}))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    pip_uses(monkeypatch, folder)
    return folder


def test_what_was_fetched_once_needs_no_index_again(index: Path, tmp_path: Path) -> None:
    made = [make_wheel(index, name, {f"{name}.py": b"x = 1\n"}) for name in ("one", "two")]
    pins = [pin(path) for path in made]
    first = fetch(pins, tmp_path / "cache")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in made]
    for path in made:
        path.unlink()
    assert fetch(pins, tmp_path / "cache") == first


def test_only_what_is_missing_is_fetched(index: Path, tmp_path: Path) -> None:
    one = make_wheel(index, "one", {"one.py": b""})
    fetch([pin(one)], tmp_path / "cache")
    pinned = pin(one)
    one.unlink()
    two = make_wheel(index, "two", {"two.py": b""})
    assert [path.name for path in fetch([pinned, pin(two)], tmp_path / "cache")] == [
        "one-1.0-py3-none-any.whl",
        "two-1.0-py3-none-any.whl",
    ]


def test_a_changed_byte_in_the_cache_is_fetched_anew(index: Path, tmp_path: Path) -> None:
    one = make_wheel(index, "one", {"one.py": b""})
    (kept,) = fetch([pin(one)], tmp_path / "cache")
    kept.write_bytes(kept.read_bytes() + b"!")
    assert fetch([pin(one)], tmp_path / "cache")[0].read_bytes() == one.read_bytes()


def test_other_bytes_than_locked_are_refused(index: Path, tmp_path: Path) -> None:
    one = make_wheel(index, "one", {"one.py": b"evil"})
    with pytest.raises(
        CorruptError, match=r"DO NOT MATCH THE HASHES.*other bytes than were locked"
    ):
        fetch([Pin("one", "1.0", frozenset({"0" * 64}))], tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.whl"))
    assert one.exists()


def test_what_the_index_does_not_have_is_named(index: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"absent==1\.0.*pip config list"):
        fetch([Pin("absent", "1.0", frozenset({"0" * 64}))], tmp_path / "cache")


def test_source_distributions_are_never_built(index: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    project = tmp_path / "evil-1.0"
    project.mkdir()
    (project / "setup.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    with tarfile.open(index / "evil-1.0.tar.gz", "w:gz") as archive:
        archive.add(project, "evil-1.0")
    locked = frozenset({sha256(index / "evil-1.0.tar.gz")})
    with pytest.raises(InvalidInputError, match=r"evil==1\.0.*only wheels"):
        fetch([Pin("evil", "1.0", locked)], tmp_path / "cache")
    assert not ran.exists()


def test_wheels_for_other_machines_are_not_taken_from_the_cache(tmp_path: Path) -> None:
    for tag, fits in {
        "py3-none-any": True,
        f"cp{sys.version_info[0]}{sys.version_info[1]}-abi3-manylinux_2_17_x86_64": True,
        "cp27-cp27m-manylinux1_x86_64": False,
        "cp311-cp311-macosx_11_0_arm64": False,
        "cp311-cp311-win_amd64": False,
        "nonsense": False,
    }.items():
        assert (not wheels._unfit(f"x-1.0-{tag}.whl")) is fits, tag


@contextmanager
def hanging_index() -> Iterator[str]:
    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sleep(3)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/simple"
        server.shutdown()
        thread.join()


def test_a_hanging_index_is_left_at_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: Path
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    with hanging_index() as url:
        monkeypatch.setenv("PIP_INDEX_URL", url)
        started = monotonic()
        with pytest.raises(TransientError, match="was killed"):
            fetch([Pin("one", "1.0", frozenset({"0" * 64}))], tmp_path / "cache", seconds=1)
        assert monotonic() - started < 3
    assert not list((tmp_path / "cache").iterdir())


def test_an_index_that_is_down_is_transient_and_its_password_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: Path
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:hunter2@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(TransientError, match="did not answer") as found:
        fetch([Pin("one", "1.0", frozenset({"0" * 64}))], tmp_path / "cache")
    assert "hunter2" not in str(found.value)


def unpacked(folder: Path, *made: Path) -> dict[str, tuple[bytes, int]]:
    folder.mkdir(parents=True)
    unpack(made, folder / "packages")
    files = (path for path in (folder / "packages").rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder / "packages")): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in files
    }


def test_unpacking_is_the_same_in_every_folder_under_every_umask(tmp_path: Path) -> None:
    content = {
        "one/__init__.py": b"",
        "one/__pycache__/x.cpython-311.pyc": b"code",
        "one/tool": b"#!/bin/sh\n",
        "one-1.0.data/scripts/run": b"#!python\n",
        "one-1.0.data/scripts/scan": b"\x7fELF",
        "one-1.0.data/data/share/one.txt": b"data",
        "one-1.0.dist-info/entry_points.txt": b"[console_scripts]\none = one:main\n",
        "one/a,b.txt": b"comma",
    }
    wheel = make_wheel(tmp_path, "one", content, executable="one/tool")
    first = unpacked(tmp_path / "first", wheel)
    before = os.umask(0o077)
    try:
        second = unpacked(tmp_path / "elsewhere" / "second", wheel)
    finally:
        os.umask(before)
    assert first == second
    assert set(first) == {
        "one/__init__.py",
        "one/tool",
        "one/a,b.txt",
        "share/one.txt",
        "bin/scan",
        "one-1.0.dist-info/METADATA",
        "one-1.0.dist-info/WHEEL",
        "one-1.0.dist-info/RECORD",
        "one-1.0.dist-info/INSTALLER",
        "one-1.0.dist-info/entry_points.txt",
    }
    assert first["one/tool"][1] == 0o755
    assert first["bin/scan"] == (b"\x7fELF", 0o755), "a program, whoever packed the wheel"
    assert first["one/__init__.py"][1] == 0o644
    record = first["one-1.0.dist-info/RECORD"][0].decode()
    assert '"one/a,b.txt",sha256=' in record
    assert "bin/scan,sha256=" in record
    assert "scripts" not in record
    assert "run" not in record


def test_namespace_packages_may_share_a_file_but_not_its_content(tmp_path: Path) -> None:
    one = make_wheel(tmp_path, "one", {"shared/__init__.py": b"", "shared/one.py": b""})
    two = make_wheel(tmp_path, "two", {"shared/__init__.py": b"", "shared/two.py": b""})
    assert "shared/two.py" in unpacked(tmp_path / "same", one, two)
    three = make_wheel(tmp_path, "three", {"shared/__init__.py": b"other"})
    with pytest.raises(
        InvalidInputError, match=r"three-.* and one-.* both bring shared/__init__\.py"
    ):
        unpacked(tmp_path / "different", one, three)


@pytest.mark.parametrize("member", ["../evil.py", "one/../../evil.py", "/evil.py"])
def test_a_wheel_that_leaves_its_folder_is_refused(tmp_path: Path, member: str) -> None:
    wheel = make_wheel(tmp_path, "one", {member: b"evil"})
    with pytest.raises(InvalidInputError):
        unpacked(tmp_path / "a" / "b", wheel)
    assert not list(tmp_path.rglob("evil.py"))
    assert not Path("/evil.py").exists()


@pytest.mark.parametrize("content", [b"no zip", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_wheel_is_refused(tmp_path: Path, content: bytes) -> None:
    broken = tmp_path / "one-1.0-py3-none-any.whl"
    broken.write_bytes(content)
    with pytest.raises((InvalidInputError, RefusedError), match="no proper wheel"):
        unpacked(tmp_path / "out", broken)
