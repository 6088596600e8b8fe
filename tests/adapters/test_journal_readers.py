"""Who reads the journal while others write sees it as it was at one moment, never half of a write."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.adapters.journal import SqlJournal
from tasks.errors import BakewellError
from tasks.journal.rules import verify_chain
from tests.support.postgres import running_postgres

LINES, READERS = 60, 2


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.engine)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'journal.db'}"
        return
    with running_postgres() as found:
        yield found


def test_who_reads_while_others_write_finds_a_whole_chain(url: str) -> None:
    journal, written, troubles = SqlJournal(url), threading.Event(), list[str]()
    looks = 0

    def read() -> None:
        nonlocal looks
        while not written.is_set():
            try:
                broken = verify_chain(journal.events())
                troubles.extend([str(broken)] if broken else [])
            except BakewellError as error:
                troubles.append(f"{type(error).__name__}: {error}")
            looks += 1

    readers = [threading.Thread(target=read) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    try:
        for number in range(LINES):
            journal.append("noted", service="hello", body={"number": number})
    finally:
        written.set()
        for reader in readers:
            reader.join()
    assert looks > READERS
    assert troubles == []
    assert len(journal.events()) == LINES
