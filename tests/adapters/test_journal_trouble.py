"""Only our errors leave the journal, they say what to do, and what was written before stays intact."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tasks.adapters.journal import SqlJournal
from tasks.errors import (
    BakewellError,
    CorruptError,
    InvalidInputError,
    RefusedError,
    TransientError,
)
from tasks.journal.rules import verify_chain
from tests.support.engines import free_port, missing
from tests.support.postgres import running_postgres

BODY = {"filling": "x" * 4000}


# ---- SQLite --------------------------------------------------------------------------------------


def fill(journal: SqlJournal) -> tuple[int, BakewellError]:
    """Append until the journal refuses: how many lines were written, and what it said then."""
    for written in range(5000):
        try:
            journal.append("sampled", service="hello", body=dict(BODY))
        except BakewellError as error:
            return written, error
    raise AssertionError("the disk never got full")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """One MB of tmpfs."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if done.returncode != 0:
        missing("needs root, to mount a small tmpfs that can be filled")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.engine
def test_a_full_disk_is_said_loses_nothing_and_is_overcome_once_there_is_space(
    small_disk: Path,
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(300_000))
    journal = SqlJournal(f"sqlite:///{small_disk / 'journal.db'}")
    lease = journal.acquire("hello", "prod", "web-9:boot:1:1:rollout", 60)

    written, error = fill(journal)

    assert isinstance(error, TransientError)
    assert "disk is full" in str(error)
    assert "Free some space" in str(error)
    assert written > 10
    assert len(journal.events()) == written
    ballast.unlink()
    journal.append("sampled", service="hello", environment="prod", lease=lease)
    lines = SqlJournal(f"sqlite:///{small_disk / 'journal.db'}").events()
    assert len(lines) == written + 1
    assert verify_chain(lines) is None


LIMITED = """
import resource, sys
from tests.adapters.test_journal_trouble import fill
from tasks.adapters.journal import SqlJournal
journal = SqlJournal(sys.argv[1])
journal.append("sampled", service="hello")
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
written, error = fill(journal)
print(written, type(error).__name__, error)
"""


def test_a_file_size_limit_is_said_and_loses_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, url], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    count, kind, words = done.stdout.split(maxsplit=2)
    assert (int(count) > 5, kind) == (True, "TransientError")
    assert "disk" in words
    lines = SqlJournal(url).events()
    assert len(lines) == int(count) + 1
    assert verify_chain(lines) is None


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        RefusedError, match=r"could not be opened .*Check that the folder"
    ) as refusal:
        SqlJournal(f"sqlite:///{tmp_path / 'no' / 'journal.db'}").events()
    assert str(tmp_path / "no") in str(refusal.value)


def test_a_file_that_is_no_database_is_refused_as_damaged_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    file.write_bytes(b"These are my notes. " * 1000)
    with pytest.raises(CorruptError, match="damaged"):
        SqlJournal(f"sqlite:///{file}").append("x", service="hello")
    assert file.read_bytes().startswith(b"These are my notes.")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    journal = SqlJournal(f"sqlite:///{file}")
    for _ in range(30):
        journal.append("sampled", service="hello", body=dict(BODY))
    content = bytearray(file.read_bytes())
    content[8192:] = b"\xa5" * (len(content) - 8192)
    file.write_bytes(content)
    with pytest.raises(CorruptError):
        journal.events()


@pytest.mark.engine
def test_a_read_only_disk_is_said_and_nothing_is_written(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk / 'journal.db'}"
    SqlJournal(url).append("x", service="hello")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(RefusedError, match=r"may not be written here|could not be opened"):
        SqlJournal(url).append("y", service="hello")
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert [line.kind for line in SqlJournal(url).events()] == ["x"]


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://root:secret@db/x", "oracle://h/x"],
)
def test_urls_of_what_cannot_keep_a_journal_are_refused_without_repeating_a_password(
    url: str,
) -> None:
    with pytest.raises(InvalidInputError, match=r"sqlite:////folder/journal\.db") as refusal:
        SqlJournal(url)
    assert "secret" not in str(refusal.value)


# ---- PostgreSQL ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running_postgres() as url:
        yield url


def test_a_database_nobody_serves_is_transient_and_its_password_is_not_told() -> None:
    url = f"postgresql://someone:hush-hush@127.0.0.1:{free_port()}/journal"
    with pytest.raises(TransientError, match="did not answer") as refusal:
        SqlJournal(url, wait_seconds=1).events()
    assert "hush-hush" not in str(refusal.value)


@pytest.mark.engine
def test_a_database_that_does_not_exist_is_named(postgres: str) -> None:
    with pytest.raises(BakewellError, match='database "nowhere" does not exist'):
        SqlJournal(f"{postgres.removesuffix('postgres')}nowhere").events()


FAILING = """
CREATE OR REPLACE FUNCTION trouble() RETURNS trigger AS $$
BEGIN {what}; RETURN NEW; END $$ LANGUAGE plpgsql;
CREATE OR REPLACE TRIGGER trouble BEFORE INSERT ON bakewell_events FOR EACH ROW EXECUTE FUNCTION trouble();
"""


@pytest.mark.engine
@pytest.mark.parametrize(
    ("what", "kind", "words"),
    [
        ("RAISE 'no space left' USING ERRCODE = '53100'", TransientError, "disk is full .no space"),
        ("RAISE 'no' USING ERRCODE = '42501'", RefusedError, "may not be written here"),
        ("RAISE 'bad page' USING ERRCODE = 'XX001'", CorruptError, "damaged"),
        ("RAISE 'dead' USING ERRCODE = '40P01'", TransientError, "locked by another writer"),
        ("RAISE 'odd' USING ERRCODE = 'P0001'", RefusedError, "fault of Bakewell"),
        ("PERFORM pg_terminate_backend(pg_backend_pid())", TransientError, "did not answer"),
    ],
)
def test_what_the_server_says_becomes_our_error_and_nothing_is_written(
    postgres: str, what: str, kind: type[BakewellError], words: str
) -> None:
    journal = SqlJournal(postgres)
    before = list(journal.events())
    with closing(psycopg.connect(postgres, autocommit=True)) as connection:
        connection.execute(FAILING.format(what=what).encode())
        try:
            with pytest.raises(kind, match=words):
                journal.append("x", service="hello")
        finally:
            connection.execute("DROP TRIGGER trouble ON bakewell_events")
    assert journal.events() == before
    journal.append("x", service="hello")
    assert verify_chain(journal.events()) is None


@pytest.mark.engine
def test_a_read_only_database_is_said(postgres: str) -> None:
    journal = SqlJournal(postgres)
    journal.append("x", service="hello")
    read_only = f"{postgres}?options=-cdefault_transaction_read_only%3Don"
    assert SqlJournal(read_only).events() == journal.events()
    with pytest.raises(RefusedError, match="may not be written here"):
        SqlJournal(read_only).append("x", service="hello")


@pytest.mark.engine
def test_a_database_whose_isolation_is_stricter_still_gets_one_chain(postgres: str) -> None:
    strict = f"{postgres}?options=-cdefault_transaction_isolation%3Dserializable"
    for url in (postgres, strict, postgres, strict):
        SqlJournal(url).append("x", service="hello")
    assert verify_chain(SqlJournal(postgres).events()) is None
