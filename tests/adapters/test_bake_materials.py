"""What a bake says went in: files and wheels by digest, the same when the inputs were known already."""

from pathlib import Path

import pytest

from tasks.adapters.layout import LayoutStore
from tasks.bake.bakery import bake
from tasks.materials import Ingredient
from tests.support.baking import make_wheel, pip_uses, service, sha256

OTHER = "0" * 64


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A service with one package, of which two wheels are allowed."""
    pip_uses(monkeypatch, tmp_path / "index")
    wheel = make_wheel(tmp_path / "index", "one", {"one/__init__.py": b"x = 1\n"})
    folder = tmp_path / "service"
    (folder / "app").mkdir(parents=True)
    (folder / "main.py").write_text("print('hello')\n")
    (folder / "app" / "empty").mkdir()
    (folder / "app" / "link").symlink_to("data")
    (folder / "app" / "data").write_text("data")
    hashes = f"--hash=sha256:{OTHER} --hash=sha256:{sha256(wheel)}"
    (folder / "lock.txt").write_text(f"one==1.0 {hashes}\n")
    return folder


SPEC = service(files={"main.py": "/app/main.py", "app": "/opt/app"}, requirements="lock.txt")


def test_every_file_is_told_by_its_path_in_the_artifact(folder: Path, tmp_path: Path) -> None:
    found = bake(SPEC, folder, LayoutStore(tmp_path / "store"), tmp_path / "cache").materials
    assert dict(found.files) == {
        "/app/main.py": sha256(folder / "main.py"),
        "/opt/app/data": sha256(folder / "app" / "data"),
    }
    assert found.base == "scratch"
    assert found.interpreter.startswith("cp3")


def test_the_wheel_that_was_used_is_told_again_for_known_inputs(
    folder: Path, tmp_path: Path
) -> None:
    store, cache = LayoutStore(tmp_path / "store"), tmp_path / "cache"
    (wheel,) = (tmp_path / "index").iterdir()
    first, second = (bake(SPEC, folder, store, cache) for _ in range(2))
    assert (first.reused, second.reused) == (False, True)
    assert first.materials == second.materials
    assert first.materials.packages == (Ingredient("one", "1.0", sha256(wheel)),)
    assert first.started_at < second.started_at


def test_without_the_wheel_at_hand_all_that_were_allowed_are_told(
    folder: Path, tmp_path: Path
) -> None:
    """Baked by one machine, found again by another."""
    store = LayoutStore(tmp_path / "store")
    (wheel,) = (tmp_path / "index").iterdir()
    bake(SPEC, folder, store, tmp_path / "cache")
    elsewhere = bake(SPEC, folder, store, tmp_path / "another cache")
    assert elsewhere.reused
    allowed = tuple(sorted((OTHER, sha256(wheel))))
    assert elsewhere.materials.packages == (Ingredient("one", "1.0", "", allowed),)


def test_the_only_wheel_that_was_allowed_is_known_without_it(folder: Path, tmp_path: Path) -> None:
    store = LayoutStore(tmp_path / "store")
    (wheel,) = (tmp_path / "index").iterdir()
    (folder / "lock.txt").write_text(f"one==1.0 --hash=sha256:{sha256(wheel)}\n")
    bake(SPEC, folder, store, tmp_path / "cache")
    elsewhere = bake(SPEC, folder, store, tmp_path / "another cache")
    assert elsewhere.materials.packages == (Ingredient("one", "1.0", sha256(wheel)),)
