"""Baking real folders into real stores: same inputs, same digest; one changed byte, another one."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks import oci
from tasks.adapters.layout import LayoutStore
from tasks.adapters.registry import RegistryStore
from tasks.bake.bakery import Baked, bake
from tasks.bake.layers import pack
from tasks.bake.tree import read_files
from tasks.errors import (
    CorruptError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    TransientError,
)
from tasks.ports import ArtifactStore
from tests.support.baking import make_wheel, pip_uses, service, sha256
from tests.support.engines import missing
from tests.support.registry import Registry, running_registry

ITSDANGEROUS = (
    "itsdangerous==2.2.0 "
    "--hash=sha256:c6242fc49e35958c8b15141343aa660db5fc54d4f13a1db01a3f5891b98700ef\n"
)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def store(tmp_path: Path) -> LayoutStore:
    return LayoutStore(tmp_path / "artifacts")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def checkout(folder: Path) -> Path:
    """A service with all that a folder may hold."""
    app = folder / "app"
    (app / "empty").mkdir(parents=True)
    (app / "static").mkdir()
    (folder / "main.py").write_text("print('hello')\n")
    (app / "run.sh").write_text("#!/bin/sh\n")
    (app / "run.sh").chmod(0o755)
    (app / "static" / ("long-" * 45)).write_text("long")
    (app / "-öd d\nname; $(x)").write_text("odd")
    (app / "static" / "link").symlink_to("../run.sh")
    return folder


FILES = {"main.py": "/app/main.py", "app": "/opt/hello"}


def members(store: ArtifactStore, baked: Baked, layer: str, work: Path) -> dict[str, Any]:
    """The layer's members by name."""
    (digest,) = [found.digest for found in baked.layers if found.name == layer]
    path = work / "layer.tar.gz"
    path.write_bytes(store.blob(digest))
    with tarfile.open(path) as tar:
        return {member.name: member for member in tar.getmembers()}


def test_known_inputs_are_found_again_and_nothing_is_written(
    store: LayoutStore, cache: Path, tmp_path: Path
) -> None:
    folder = checkout(tmp_path / "a")
    said: list[str] = []
    first = bake(service(files=FILES), folder, store, cache)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path != folder}
    second = bake(service(files=FILES), folder, store, cache, said.append)
    assert (first.reused, second.reused) == (False, True)
    assert second.artifact == first.artifact
    assert second.layers == first.layers
    assert second.content_key == first.content_key
    assert second.seconds < 0.1
    assert "inputs are known" in said[-1]
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p != folder} == before


def test_two_checkouts_by_two_users_make_one_digest(tmp_path: Path, cache: Path) -> None:
    """Other folder, other times, other owner, other umask, other order, byte code and .git lying about, another cache."""
    one = checkout(tmp_path / "one")
    before = os.umask(0o077)
    try:
        two = checkout(tmp_path / "quite" / "elsewhere")
        (two / "app" / "__pycache__").mkdir()
        (two / "app" / "__pycache__" / "x.pyc").write_bytes(b"code")
        (two / "app" / ".git").mkdir()
        (two / "app" / ".git" / "HEAD").write_bytes(b"ref")
    finally:
        os.umask(before)
    for path in two.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
        if os.getuid() == 0:
            os.chown(path, 4321, 4321, follow_symlinks=False)
    backwards = dict(reversed(FILES.items()))
    first = bake(service(files=FILES), one, LayoutStore(tmp_path / "s1"), cache)
    second = bake(service(files=backwards), two, LayoutStore(tmp_path / "s2"), tmp_path / "cache2")
    assert not second.reused
    assert second.content_key == first.content_key
    assert second.artifact.digest == first.artifact.digest


def test_another_process_with_another_hash_seed_makes_the_same_digest(
    tmp_path: Path, store: LayoutStore, cache: Path
) -> None:
    folder = checkout(tmp_path / "one")
    first = bake(service(files=FILES), folder, store, cache)
    program = (
        "import sys; from pathlib import Path; from tasks.adapters.layout import LayoutStore\n"
        "from tasks.bake.bakery import bake; from tests.support.baking import service\n"
        f"spec, out = service(files={FILES!r}), Path({str(tmp_path / 'other')!r})\n"
        f"print(bake(spec, Path({str(folder)!r}), LayoutStore(out), out).artifact.digest)"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment
    )
    assert done.stdout.strip() == first.artifact.digest


@pytest.mark.parametrize("change", ["byte", "mode", "name", "empty folder", "link"])
def test_one_change_makes_another_digest(
    tmp_path: Path, store: LayoutStore, cache: Path, change: str
) -> None:
    folder = checkout(tmp_path / "one")
    first = bake(service(files=FILES), folder, store, cache)
    main, link = folder / "main.py", folder / "app" / "static" / "link"
    if change == "byte":
        main.write_text("print('hellp')\n")
    elif change == "mode":
        (folder / "app" / "run.sh").chmod(0o644)
    elif change == "name":
        (folder / "app" / "run.sh").rename(folder / "app" / "run2.sh")
        (folder / "app" / "run.sh").symlink_to("run2.sh")
    elif change == "empty folder":
        (folder / "app" / "empty").rmdir()
    else:
        link.unlink()
        link.symlink_to("./../run.sh")
    second = bake(service(files=FILES), folder, store, cache)
    assert second.artifact.digest != first.artifact.digest
    assert not second.reused


def test_members_are_plain(tmp_path: Path, store: LayoutStore, cache: Path) -> None:
    baked = bake(service(files=FILES), checkout(tmp_path / "one"), store, cache)
    found = members(store, baked, "files", tmp_path)
    assert all(member.mtime == member.uid == member.gid == 0 for member in found.values())
    assert not any(member.uname or member.gname for member in found.values())
    assert found["opt/hello/run.sh"].mode == 0o755
    assert found["app/main.py"].mode == 0o644
    assert found["opt/hello/static/link"].linkname == "../run.sh"
    assert found["opt/hello/empty"].isdir()
    assert found["tmp"].mode == 0o1777
    assert "opt/hello/-öd d\nname; $(x)" in found
    assert f"opt/hello/static/{'long-' * 45}" in found


def test_a_store_that_lost_a_layer_gets_it_again(
    tmp_path: Path, store: LayoutStore, cache: Path
) -> None:
    folder = checkout(tmp_path / "one")
    first = bake(service(files=FILES), folder, store, cache)
    lost = first.layers[0].digest
    (tmp_path / "artifacts" / "blobs" / "sha256" / oci.hex_of(lost)).unlink()
    second = bake(service(files=FILES), folder, store, cache)
    assert not second.reused
    assert second.artifact == first.artifact
    assert store.has_blob(lost)


def test_a_target_that_ends_with_a_slash_is_a_folder(
    tmp_path: Path, store: LayoutStore, cache: Path
) -> None:
    folder = checkout(tmp_path / "one")
    baked = bake(service(files={"main.py": "/app/"}), folder, store, cache)
    assert "app/main.py" in members(store, baked, "files", tmp_path)


def test_huge_files_are_never_whole_in_memory(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    with (folder / "huge").open("wb") as file:
        file.truncate(400_000_000)
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_DATA, (300_000_000,) * 2)\n"
        "from pathlib import Path; from tasks.adapters.layout import LayoutStore\n"
        "from tasks.bake.bakery import bake; from tests.support.baking import service\n"
        f"here = Path({str(tmp_path)!r}); spec = service(files={{'huge': '/huge'}})\n"
        "bake(spec, here / 'one', LayoutStore(here / 'store'), here / 'cache')"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


# ---- wrong inputs --------------------------------------------------------------------------------


def refuse(tmp_path: Path, error: type[Exception], text: str, **bake_: Any) -> None:
    """The bake is refused with this text, and nothing at all was written."""
    store, cache = LayoutStore(tmp_path / "never"), tmp_path / "never-cache"
    with pytest.raises(error, match=text):
        bake(service(**bake_), tmp_path / "one", store, cache)
    assert not (tmp_path / "never").exists()
    assert not cache.exists()


def test_what_cannot_be_baked_is_named_before_anything_is_written(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "one")
    refuse(tmp_path, InvalidInputError, "absent", files={"absent": "/x"})
    refuse(tmp_path, InvalidInputError, "requirements.txt", requirements="requirements.txt")
    both = {"app": "/x", "main.py": "/x/run.sh"}
    refuse(tmp_path, InvalidInputError, r"both .*run\.sh and .*main\.py as /x", files=both)
    outside = folder / "outside"
    outside.symlink_to(tmp_path)
    refuse(tmp_path, InvalidInputError, "outside", files={"outside": "/x"})
    odd = folder / "app" / "odd"
    for target in ("/etc/passwd", "../../secret", "loop/../../../x"):
        odd.symlink_to(target)
        refuse(tmp_path, InvalidInputError, r"odd.*leads to", files=FILES)
        odd.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(odd))
        refuse(tmp_path, InvalidInputError, "odd; it is neither", files=FILES)
    odd.unlink()
    os.close(os.open(os.fsencode(folder / "app") + b"/\xff", os.O_CREAT))
    refuse(tmp_path, InvalidInputError, "UTF-8", files=FILES)


def test_a_file_we_may_not_read_is_named(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "one")
    (folder / "app" / "secret").touch(mode=0)
    program = (
        "from pathlib import Path; from tasks.bake.tree import read_files\n"
        f"read_files(Path({str(folder)!r}), {{'app': '/app'}})"
    )
    command = [sys.executable, "-c", program]
    if os.getuid() == 0:  # root may read everything, unless it gives that right up
        if shutil.which("setpriv") is None:
            missing("needs setpriv (Debian package util-linux), as root reads everything")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert re.search(r"InvalidInputError: .*app/secret; it cannot be read: Permis", done.stderr)


def test_a_file_that_changes_while_it_is_baked_is_noticed(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "one")
    entries = read_files(folder, {"main.py": "/main.py"})
    for content in ("print('hellp')\n", "longer than before\n" * 9, ""):
        (folder / "main.py").write_text(content)
        with pytest.raises(TransientError, match=r"main\.py; it changed"):
            pack("files", entries, tmp_path / "layer")
    (folder / "main.py").unlink()
    with pytest.raises(TransientError, match=r"main\.py; it changed"):
        pack("files", entries, tmp_path / "layer")


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path, store: LayoutStore) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(RefusedError, match="cache/work"):
        bake(service(files=FILES), checkout(tmp_path / "one"), store, tmp_path / "cache")
    assert store.tags() == ()


# ---- packages ------------------------------------------------------------------------------------


def test_packages_have_a_layer_of_their_own_that_versions_share(
    tmp_path: Path, store: LayoutStore, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_uses(monkeypatch, tmp_path / "index")
    wheel = make_wheel(tmp_path / "index", "one", {"one/__init__.py": b"x = 1\n"})
    folder = checkout(tmp_path / "one")
    (folder / "lock.txt").write_text(f"one==1.0 --hash=sha256:{sha256(wheel)}\n")
    spec = service(requirements="lock.txt", packages="/opt/site")
    first = bake(spec, folder, store, cache)
    assert [layer.name for layer in first.layers] == ["packages", "files"]
    found = members(store, first, "packages", tmp_path)
    assert {"opt", "opt/site", "opt/site/one/__init__.py"} < set(found)
    assert "opt/site/one-1.0.dist-info/METADATA" in found
    wheel.unlink()
    (folder / "main.py").write_text("print('second version')\n")
    second = bake(spec, folder, store, cache)
    assert second.artifact != first.artifact
    assert second.layers[0] == first.layers[0]
    assert not list((cache / "work").iterdir())


def test_an_unlocked_requirement_is_refused_naming_its_line(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "one")
    (folder / "lock.txt").write_text("# comment\none==1.0\n")
    refuse(tmp_path, InvalidInputError, r"lock\.txt; line 2 \(one==1\.0\)", requirements="lock.txt")


@pytest.mark.engine
def test_a_package_comes_from_the_index_that_pip_uses(
    tmp_path: Path, store: LayoutStore, cache: Path
) -> None:
    folder = checkout(tmp_path / "one")
    (folder / "lock.txt").write_text(ITSDANGEROUS)
    try:
        baked = bake(service(requirements="lock.txt"), folder, store, cache)
    except (TransientError, InvalidInputError) as error:
        missing(f"no package index can be reached from here: {error}")
    found = members(store, baked, "packages", tmp_path)
    assert "packages/itsdangerous/__init__.py" in found
    assert "packages/itsdangerous-2.2.0.dist-info/METADATA" in found


# ---- on a base -----------------------------------------------------------------------------------


def base_in(store: ArtifactStore, tmp_path: Path, cache: Path) -> str:
    """An image to bake on, and its reference."""
    folder = tmp_path / "base-source"
    folder.mkdir(exist_ok=True)
    (folder / "lib").write_text("lib")
    spec = service(files={"lib": "/usr/lib/base"}, command=["sh"], environment={"BASE": "1"})
    return bake(spec, folder, store, cache).artifact.reference


def test_a_layout_beside_the_service_can_be_the_base(
    tmp_path: Path, store: LayoutStore, cache: Path
) -> None:
    folder = checkout(tmp_path / "one")
    reference = base_in(LayoutStore(folder / "base"), tmp_path, cache)
    digest = reference.rpartition("@")[2]
    baked = bake(service(base=f"layout:base@{digest}"), folder, store, cache)
    assert [layer.name for layer in baked.layers] == ["base", "files"]
    assert b"".join(store.stream(baked.layers[0].digest))
    manifest = json.loads(store.manifest(baked.artifact.digest))
    config = json.loads(store.blob(manifest["config"]["digest"]))
    assert config["config"]["Env"] == ["BASE=1"]
    assert config["config"]["Cmd"] == ["python3", "/app/main.py"]
    assert set(members(store, baked, "files", tmp_path)) == {"app/main.py"}


def test_a_base_that_is_absent_or_corrupt_is_refused_and_leaves_no_artifact(
    tmp_path: Path, store: LayoutStore, cache: Path
) -> None:
    folder = checkout(tmp_path / "one")
    base = LayoutStore(tmp_path / "base")
    reference = base_in(base, tmp_path, cache)
    with pytest.raises(NotFoundError, match="0000"):
        bake(service(base=f"layout:../base@sha256:{'0' * 64}"), folder, store, cache)
    layer = json.loads(base.manifest(reference.rpartition("@")[2]))["layers"][0]["digest"]
    path = tmp_path / "base" / "blobs" / "sha256" / oci.hex_of(layer)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(CorruptError, match=layer):
        bake(service(base=reference), folder, store, cache)
    assert store.tags() == ()
    assert not store.has_blob(layer)


@pytest.mark.engine
def test_into_a_registry_and_on_a_base_of_it(
    registry: Registry, tmp_path: Path, store: LayoutStore, cache: Path
) -> None:
    folder = checkout(tmp_path / "one")
    reference = base_in(RegistryStore(f"{registry.host}/bake/base"), tmp_path, cache)
    target = RegistryStore(f"{registry.host}/bake/hello")
    first = bake(service(base=reference), folder, target, cache)
    second = bake(service(base=reference), folder, target, cache)
    assert (first.reused, second.reused) == (False, True)
    elsewhere = bake(service(base=reference), folder, store, cache)
    assert elsewhere.artifact.digest == first.artifact.digest
    assert target.manifest(first.artifact.digest) == store.manifest(first.artifact.digest)
    for layer in first.layers:
        assert target.blob(layer.digest) == store.blob(layer.digest)
