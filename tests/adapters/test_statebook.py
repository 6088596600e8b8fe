"""The book of states says what the journal says, however it is read."""

from pathlib import Path

import pytest

from flows.statebook import StateBook, state_of_today
from tasks import platforms
from tasks.adapters.journal import SqlJournal
from tasks.journal.events import Deployed, Promoted, RolloutStarted, Sampled, Withdrawn, record
from tasks.journal.rules import State, fold
from tests.support.events import NOON, PROD, artifact, deployed, sample


def begin(journal: SqlJournal, number: int) -> None:
    record(journal, "hello", "prod", f"r{number}", RolloutStarted(PROD, artifact(number), 2, ""))
    record(journal, "hello", "prod", f"r{number}", Sampled(sample()))


def promote(journal: SqlJournal, number: int) -> None:
    record(journal, "hello", "prod", f"r{number}", Promoted(deployed(number), None))


def test_after_each_line_it_is_as_if_everything_had_been_read_again(tmp_path: Path) -> None:
    journal, book = SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}"), StateBook()
    assert book.refresh(journal) == State()
    for number in (1, 2):
        begin(journal, number)
        assert book.refresh(journal) == fold(journal.events())
        assert book.refresh(journal) == fold(journal.events()), "nothing new changes nothing"
        promote(journal, number)
        assert book.refresh(journal) == fold(journal.events())


def test_a_journal_that_was_restored_from_a_backup_is_read_anew(tmp_path: Path) -> None:
    old, new = (SqlJournal(f"sqlite:///{tmp_path / name}.db") for name in ("old", "new"))
    book = StateBook()
    begin(new, 1)
    promote(new, 1)
    book.refresh(new)
    begin(old, 1)
    assert book.refresh(old) == fold(old.events()), "shorter"
    record(old, "hello", "prod", "r1", Withdrawn(None, "other"))
    begin(old, 2)
    assert book.refresh(new) == fold(new.events()), "of other lines"


def test_each_installation_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for name in ("one", "other"):
        monkeypatch.setenv("BAKEWELL_HOME", str(tmp_path / name))
        journal = platforms.journal()
        made = Deployed(name, artifact(1), 1, NOON)
        record(journal, "hello", "prod", name, RolloutStarted(PROD, artifact(1), 1, ""))
        record(journal, "hello", "prod", name, Promoted(made, None))
        seen.append(state_of_today(journal).environments["hello", "prod"].stable)
    assert [one.release for one in seen if one] == ["one", "other"]
