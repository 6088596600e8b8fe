"""Whether the process behind a tag is gone: only what is certain counts."""

from dataclasses import asdict, replace
from json import dumps
from pathlib import Path

import pytest

from tasks.adapters import terminals
from tasks.adapters.owner import Owner, parse, this_owner
from tasks.adapters.terminals import FOLDER, Terminal, dead_terminals, machine, terminal

API = "http://127.0.0.1:4200/api"


def me() -> Owner:
    owner = parse(this_owner("a command"))
    assert owner is not None
    return owner


def write(home: Path, owner: Owner, of: str) -> Terminal:
    found = Terminal("terminal-0a", str(owner), of, API)
    (home / FOLDER).mkdir(exist_ok=True)
    (home / FOLDER / "terminal-0a.json").write_text(dumps(asdict(found)))
    return found


def test_who_lives_is_not_dead_and_who_ends_well_leaves_nothing(tmp_path: Path) -> None:
    with terminal(tmp_path, API) as tag:
        assert [one.name for one in (tmp_path / FOLDER).iterdir()] == [f"{tag}.json"]
        assert dead_terminals(tmp_path) == []
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_who_ends_badly_is_remembered_until_its_process_is_gone(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), terminal(tmp_path, API):
        raise KeyboardInterrupt
    assert len(list((tmp_path / FOLDER).iterdir())) == 1
    assert dead_terminals(tmp_path) == []


def test_a_number_that_another_process_has_by_now_is_nobodys(tmp_path: Path) -> None:
    assert dead_terminals(tmp_path) == []
    gone = write(tmp_path, replace(me(), start="1"), machine())
    assert dead_terminals(tmp_path) == [gone]
    assert "a command" in str(gone)


def test_what_was_before_this_machine_was_rebooted_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminals, "MACHINE_ID", tmp_path / "machine-id")
    terminals.MACHINE_ID.write_text("4f2a\n")
    gone = write(tmp_path, replace(me(), boot="other-4026531836"), "4f2a")
    assert dead_terminals(tmp_path) == [gone]


@pytest.mark.parametrize("of", ["another machine", ""])
def test_of_another_machine_nothing_is_certain(tmp_path: Path, of: str) -> None:
    write(tmp_path, replace(me(), host="web-9", boot="other-4026531836", start="1"), of)
    assert dead_terminals(tmp_path) == []


def test_what_cannot_be_read_is_nobodys_word(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "terminal-0b.json").write_text('{"tag": "terminal-0b"')
    assert dead_terminals(tmp_path) == []
