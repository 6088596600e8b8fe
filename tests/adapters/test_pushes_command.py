"""`bakewell pushes`: what was pushed, and what became of it."""

import json
from pathlib import Path

import pytest

from flows.command import Exit, run
from tasks import platforms
from tasks.journal.events import Body, record
from tasks.journal.pushes import DropCause, PushAccepted, PushDropped, PushEnded, PushTaken


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BAKEWELL_HOME", str(tmp_path))
    return tmp_path


def write(*bodies: Body, service: str = "cart") -> None:
    for body in bodies:
        record(platforms.journal(), service, "", "", body)


def accepted(commit: str, by: str = "ada") -> PushAccepted:
    return PushAccepted("github", commit, "shop", "main", commit * 40, "cart", by)


def test_each_push_is_listed_with_what_became_of_it(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(
        *(accepted(letter) for letter in "abcde"),
        PushDropped(1, "a newer one supersedes it", DropCause.SUPERSEDED),
        PushTaken(2, ""),
        PushTaken(3, ""),
        PushTaken(3, "run-3"),
        PushTaken(4, "run-4"),
        PushEnded(4, False, "r1 stopped: bad"),
    )
    write(accepted("f"), service="mail")
    assert run(["pushes", "--json"]) == Exit.DONE
    found = json.loads(capsys.readouterr().out)
    assert [(one["service"], one["commit"][0], one["became"], one["open"]) for one in found] == [
        ("mail", "f", "waits to be released", True),
        ("cart", "e", "waits to be released", True),
        ("cart", "d", "failed: r1 stopped: bad", False),
        ("cart", "c", "is released by run run-3", False),
        ("cart", "b", "is about to be released", False),
        ("cart", "a", "not released: a newer one supersedes it", False),
    ]
    assert run(["pushes", "cart", "--limit", "1"]) == Exit.DONE
    shown = capsys.readouterr().out
    assert "eeeeeeeeeeee" in shown
    assert "ffff" not in shown


def test_what_a_forge_says_cannot_forge_a_line(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(accepted("a", by="[red]eve[/] and [link=x]others"))
    run(["pushes"])
    assert "[red]eve[/]" in " ".join(capsys.readouterr().out.split())


def test_without_a_push_it_says_where_to_begin(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["pushes"]) == Exit.DONE
    assert "repositories.yaml" in capsys.readouterr().out
