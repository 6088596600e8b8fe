"""What `bakewell status` and `bakewell up --status` say of an installation."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from flows.installation import (
    PartState,
    UpState,
    forget_state,
    remember_state,
    state_of,
    the_only_one,
)
from flows.installation_views import table, troubles, up_lines

WORKER = PartState("worker", "does the runs", 12, 0.0, 0, True, "")
KEEPER = PartState("keeper", "does the chores", 13, 0.0, 1, True, "")
WELL = UpState(11, 0.0, "http://api", "http://ui", True, (WORKER, KEEPER))
BROKEN = replace(KEEPER, remark="could not notify: found no address in $TEAM_URL")
DOWN = replace(WORKER, pid=0, healthy=False, note="ModuleNotFoundError: prefect")


def line(home: Path, state: UpState) -> str:
    """While a supervisor is there."""
    with the_only_one(home):
        remember_state(home, state)
        assert state_of(home) == state
        (found,) = up_lines(home)
        return found.plain


def test_status_says_nothing_of_what_was_never_brought_up_or_was_taken_down(tmp_path: Path) -> None:
    assert list(up_lines(tmp_path)) == []
    (tmp_path / "up").mkdir()
    remember_state(tmp_path, WELL)
    forget_state(tmp_path)
    assert list(up_lines(tmp_path)) == []


def test_status_says_in_one_line_that_all_is_well_or_what_is_not(tmp_path: Path) -> None:
    assert "is well: worker and keeper; Prefect's pages: http://ui" in line(tmp_path, WELL)
    told = line(tmp_path, replace(WELL, parts=(DOWN, BROKEN)))
    assert "not well: the worker is down (ModuleNotFoundError: prefect)" in told
    assert "the keeper says: could not notify: found no address in $TEAM_URL" in told
    assert "`bakewell up --status`" in told


def test_status_says_loudly_that_a_supervisor_is_gone(tmp_path: Path) -> None:
    line(tmp_path, WELL)
    (told,) = up_lines(tmp_path)
    assert "NOT up: its supervisor (process 11) is gone" in told.plain


def test_a_setting_that_broke_while_it_is_up_is_a_trouble_and_stands_in_the_table() -> None:
    state = replace(WELL, parts=(WORKER, BROKEN))
    assert list(troubles(WELL)) == []
    assert list(troubles(state)) == [f"the keeper says: {BROKEN.remark}"]
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table(state))
    assert "well, but" in capture.get()
    assert BROKEN.remark in capture.get()


def test_a_state_that_an_earlier_version_wrote_is_read(tmp_path: Path) -> None:
    line(tmp_path, WELL)
    file = tmp_path / "up" / "state.json"
    file.write_text(file.read_text().replace(', "remark": ""', ""))
    assert state_of(tmp_path) == WELL
