"""Settings of an installation that cannot be used are told before anything starts, and while it is up."""

from pathlib import Path

import pytest

from flows import command
from flows.configured import broken_settings
from tasks.pushes import Forge
from tests.support.forge import VARIABLE, repositories_yaml, repository

BAD_INPUT = 2


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of an installation that has nothing set."""
    for name in ("BAKEWELL_NOTIFY", "BAKEWELL_REPOSITORIES", "BAKEWELL_RECEIVER_PORT", VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BAKEWELL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def refused(capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """What `bakewell up` says, which has to end as other bad input does."""
    assert command.run(["up", *more]) == BAD_INPUT
    return capsys.readouterr().err


def test_settings_that_are_not_there_or_as_they_are_shipped_can_be_used() -> None:
    assert list(broken_settings()) == []


@pytest.mark.parametrize("detach", [(), ("--detach",)])
def test_up_refuses_a_broken_file_of_whom_to_tell_before_anything_starts(
    detach: tuple[str, ...],
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "notify.yaml"
    file.write_text("targets:\n  - {nme: team, variable: TEAM_URL}\n")
    monkeypatch.setenv("BAKEWELL_NOTIFY", str(file))
    said = refused(capsys, *detach)
    assert str(file) in said
    assert "nme" in said
    assert not (home / "up").exists(), "nothing was started"


def test_up_names_every_secret_that_is_not_there_at_once(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token = {"token": {"file": str(tmp_path / "token")}}
    (tmp_path / "token").write_text("a token")
    cart = repository("cart", forge=Forge.GITHUB, status=token)
    file = repositories_yaml(tmp_path / "repositories.yaml", cart)
    monkeypatch.setenv("BAKEWELL_REPOSITORIES", str(file))
    monkeypatch.setenv("BAKEWELL_NOTIFY", "TEAM_URL")
    monkeypatch.setenv("BAKEWELL_RECEIVER_PORT", "http")
    said = refused(capsys)
    for words in (f"${VARIABLE}", "$TEAM_URL", "$BAKEWELL_RECEIVER_PORT='http'"):
        assert words in said
    monkeypatch.setenv(VARIABLE, "a secret")
    monkeypatch.setenv("TEAM_URL", "json://localhost")
    monkeypatch.setenv("BAKEWELL_RECEIVER_PORT", "4300")
    assert list(broken_settings()) == []
    (tmp_path / "token").unlink()
    assert [str(tmp_path / "token") in one for one in broken_settings()] == [True]
    assert not (home / "up").exists()
