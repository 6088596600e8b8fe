"""`bakewell bake`: the artifact alone; and twice, to see whether it is the same."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.command import run
from flows.story import LOGGER
from tasks import platforms
from tasks.adapters.layout import LayoutStore
from tests.support.baking import service


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A service of files; a home of its own; the story's listeners as they were before."""
    monkeypatch.setenv("BAKEWELL_HOME", str(tmp_path / "home"))
    folder = tmp_path / "hello"
    folder.mkdir()
    (folder / "main.py").write_text("print('hello')\n")
    told = service().model_dump(mode="json", exclude_defaults=True)
    (folder / "service.yaml").write_text(json.dumps(told))
    before, level = list(LOGGER.handlers), LOGGER.level
    yield folder
    LOGGER.handlers[:] = before
    LOGGER.setLevel(level)


def test_it_prints_the_reference_and_what_was_known_already(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bake", str(folder)]) == 0
    first = capsys.readouterr().out.splitlines()
    assert first[0].startswith(f"layout:{platforms.home()}/artifacts/hello@sha256:")
    assert "baked in" in first[1]
    assert first[2].startswith("  files: sha256:")
    assert run(["bake", str(folder)]) == 0
    again = capsys.readouterr().out.splitlines()
    assert again[0] == first[0]
    assert "known already, nothing was baked" in again[1]


def test_a_check_bakes_twice_and_leaves_the_services_store_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bake", str(folder), "--check", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["reproducible"] is True
    assert len(set(found["digests"])) == 1
    assert found["unlike"] == []
    store = LayoutStore(platforms.home() / "artifacts" / "hello")
    assert store.tags() == ()
    assert not list((platforms.home() / "cache" / "work").iterdir())


def test_a_wrong_service_is_bad_input(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "main.py").unlink()
    assert run(["bake", str(folder), "--check"]) == 2
    assert "'main.py' does not exist beside service.yaml" in capsys.readouterr().err
