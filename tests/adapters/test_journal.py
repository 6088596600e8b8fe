"""What every journal must do, on SQLite and on a real PostgreSQL; with real processes, killed for real."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from pydantic import JsonValue
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from tasks.adapters.journal import SqlJournal
from tasks.adapters.journal_database import SCHEMA_VERSION, WRITER_LOCK, engine_for, parsed_url
from tasks.adapters.owner import parse, this_owner
from tasks.chain import FIRST, hash_of
from tasks.errors import (
    CorruptError,
    InvalidInputError,
    LateWriterError,
    LeaseHeldError,
    RefusedError,
    TransientError,
)
from tasks.journal.rules import verify_chain
from tasks.model import Lease
from tasks.ports import Entry, Journal
from tests.support.postgres import running_postgres

ELSEWHERE = "web-9:other-boot:4711:1:rollout of r1"
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running_postgres() as url:
        yield url


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.engine)],
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A journal's URL, with nothing there yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'journal.db'}"
    server = request.getfixturevalue("postgres")
    name = f"t{time.time_ns()}"
    with closing(psycopg.connect(server, autocommit=True)) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return make_url(server).set(database=name).render_as_string()


@pytest.fixture
def journal(url: str) -> SqlJournal:
    return SqlJournal(url)


def change(url: str, statement: str) -> None:
    """What somebody with a database client may do."""
    engine = create_engine(parsed_url(url))
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


# ---- lines ---------------------------------------------------------------------------------------


def test_what_was_appended_is_read_back_equal_to_the_microsecond(journal: SqlJournal) -> None:
    body: dict[str, JsonValue] = {"b": [1, 1.0, 0.1, None, True], "a": {"ü": "\x00'\ud800", "": {}}}
    before = datetime.now(UTC) - timedelta(seconds=1)
    first = journal.append("sampled", service="hello", environment="prod", release="r1", body=body)
    second = journal.append("healed", service="other")

    assert journal.events() == [first, second]
    assert first.body == body
    assert (first.sequence, first.previous, first.token) == (1, FIRST, 0)
    assert (second.sequence, second.previous) == (2, first.hash)
    assert all(hash_of(line) == line.hash for line in journal.events())
    assert before < first.at <= second.at < datetime.now(UTC) + timedelta(seconds=1)
    assert first.at.tzinfo is UTC


def test_lines_can_be_asked_for_by_service_and_from_a_sequence_on(journal: SqlJournal) -> None:
    for number in range(6):
        journal.append("healed", service=f"s{number % 2}")

    assert [line.sequence for line in journal.events(after=4)] == [5, 6]
    assert [line.sequence for line in journal.events("s1")] == [2, 4, 6]
    assert [line.sequence for line in journal.events("s1", after=2)] == [4, 6]
    assert journal.events("nobody") == []


def test_an_empty_journal_is_empty(journal: SqlJournal) -> None:
    assert journal.events() == []
    assert journal.holder("hello", "prod") is None


def _append_many(url: str, writer: int) -> None:
    journal = SqlJournal(url, wait_seconds=60)
    for number in range(50):
        journal.append("sampled", service=f"s{writer}", body={"number": number})


def test_four_processes_that_start_at_once_write_one_unbroken_chain(url: str) -> None:
    with ProcessPoolExecutor(4, mp_context=SPAWN) as pool:
        for done in [pool.submit(_append_many, url, writer) for writer in range(4)]:
            done.result()

    lines = SqlJournal(url).events()
    assert len(lines) == 200
    assert verify_chain(lines) is None
    for writer in range(4):
        own = [line.body["number"] for line in lines if line.service == f"s{writer}"]
        assert own == list(range(50))


def test_threads_may_share_one_journal(journal: SqlJournal) -> None:
    threads = [
        threading.Thread(target=lambda: [journal.append("x", service="s") for _ in range(10)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(journal.events()) == 40
    assert verify_chain(journal.events()) is None


@pytest.mark.parametrize(
    ("statement", "sequence"),
    [
        ("UPDATE bakewell_events SET body = '{\"n\":9}' WHERE sequence = 2", 2),
        ("UPDATE bakewell_events SET token = 9 WHERE sequence = 3", 3),
        (
            "UPDATE bakewell_events SET at = '2020-01-01T00:00:00.000000+00:00' WHERE sequence = 1",
            1,
        ),
        ("DELETE FROM bakewell_events WHERE sequence = 2", 2),
        ("UPDATE bakewell_events SET hash = previous WHERE sequence = 2", 2),
    ],
)
def test_a_line_changed_by_hand_breaks_the_chain_at_that_line(
    url: str, journal: SqlJournal, statement: str, sequence: int
) -> None:
    for number in range(4):
        journal.append("sampled", service="s", body={"n": number})
    assert verify_chain(journal.events()) is None

    change(url, statement)

    broken = verify_chain(journal.events())
    assert broken is not None
    assert broken.sequence == sequence


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM bakewell_events WHERE sequence > 2",
        "DELETE FROM bakewell_events",
        "UPDATE bakewell_events SET sequence = 40 WHERE sequence = 4",
        "DELETE FROM bakewell_journal",
    ],
)
def test_lines_cut_off_at_the_end_are_noticed_before_anything_is_added(
    url: str, journal: SqlJournal, statement: str
) -> None:
    for number in range(4):
        journal.append("sampled", service="s", body={"n": number})
    change(url, statement)

    with pytest.raises(CorruptError, match="backup"):
        journal.append("sampled", service="s")
    with pytest.raises(CorruptError, match="backup"):
        journal.events()


@pytest.mark.parametrize("body", ["{", "[]", '{"n":NaN}', ""])
def test_a_body_that_is_no_json_any_more_is_refused_with_its_line(
    url: str, journal: SqlJournal, body: str
) -> None:
    journal.append("sampled", service="s")
    journal.append("sampled", service="s")
    change(url, f"UPDATE bakewell_events SET body = '{body}' WHERE sequence = 1")

    with pytest.raises(CorruptError, match="line 1 of the journal"):
        journal.events()


@pytest.mark.parametrize(
    "body",
    [{"n": float("nan")}, {"n": float("inf")}, {"n": object()}, {"n": {1, 2}}],
    ids=["nan", "infinity", "object", "set"],
)
def test_a_body_that_is_not_json_is_refused_and_nothing_is_written(
    journal: SqlJournal, body: dict[str, JsonValue]
) -> None:
    with pytest.raises(InvalidInputError, match="plain JSON"):
        journal.append("sampled", service="s", body=body)
    assert journal.events() == []


def test_unprintable_names_are_refused(journal: SqlJournal) -> None:
    with pytest.raises(InvalidInputError, match="service"):
        journal.append("sampled", service="a\x00b")
    with pytest.raises(InvalidInputError, match="owner"):
        journal.acquire("s", "prod", "a\nb", 10)


def test_tables_of_another_version_are_left_alone(url: str, journal: SqlJournal) -> None:
    journal.append("sampled", service="s")
    change(url, f"UPDATE bakewell_journal SET version = {SCHEMA_VERSION + 1}")

    with pytest.raises(RefusedError, match=f"version {SCHEMA_VERSION + 1}"):
        SqlJournal(url).events()


# ---- leases --------------------------------------------------------------------------------------


def test_a_lease_keeps_others_out_until_it_is_given_back(journal: Journal) -> None:
    lease = journal.acquire("hello", "prod", ELSEWHERE, 30)

    assert journal.holder("hello", "prod") == lease
    with pytest.raises(LeaseHeldError) as refusal:
        journal.acquire("hello", "prod", this_owner("roll-back"), 30)
    for words in ("hello prod", "rollout of r1", "4711", "web-9", "since", "until", "Wait for it"):
        assert words in str(refusal.value)

    journal.release(lease)
    assert journal.holder("hello", "prod") is None
    assert journal.acquire("hello", "prod", ELSEWHERE, 30).token == lease.token + 1


def test_leases_of_other_places_are_independent(journal: Journal) -> None:
    leases = [
        journal.acquire(service, environment, ELSEWHERE, 30)
        for service in ("hello", "other")
        for environment in ("", "prod", "staging")
    ]
    assert [lease.token for lease in leases] == [1] * 6


def test_tokens_only_grow_and_are_never_used_again(journal: Journal) -> None:
    tokens = []
    for seconds in (30.0, 0.0, 30.0, 0.0, 30.0):
        lease = journal.acquire("hello", "prod", ELSEWHERE, seconds)
        tokens.append(lease.token)
        if seconds:
            journal.release(lease)
    assert tokens == [1, 2, 3, 4, 5]


def test_an_expired_lease_can_be_taken_and_its_late_holder_writes_nothing(journal: Journal) -> None:
    late = journal.acquire("hello", "prod", ELSEWHERE, 0.1)
    time.sleep(0.15)
    assert journal.holder("hello", "prod") is None
    with pytest.raises(LateWriterError, match="ran out at"):
        journal.append("step started", service="hello", environment="prod", lease=late)

    new = journal.acquire("hello", "prod", this_owner("heal"), 30)

    with pytest.raises(LateWriterError, match=f"taken over by heal .process {os.getpid()}"):
        journal.append("step started", service="hello", environment="prod", lease=late)
    with pytest.raises(LateWriterError, match="taken over by heal"):
        journal.renew(late, 30)
    journal.release(late)
    assert journal.holder("hello", "prod") == new
    assert journal.events() == []


def test_a_lease_that_was_taken_over_and_given_back_stays_lost(journal: Journal) -> None:
    late = journal.acquire("hello", "prod", ELSEWHERE, 0)
    journal.release(journal.acquire("hello", "prod", ELSEWHERE, 30))

    with pytest.raises(LateWriterError, match=r"has given it back since .token 2"):
        journal.renew(late, 30)
    with pytest.raises(LateWriterError, match=r"has given it back since .token 2"):
        journal.append("x", service="hello", environment="prod", lease=late)


def test_a_lease_that_was_given_back_cannot_be_used(journal: Journal) -> None:
    lease = journal.acquire("hello", "prod", ELSEWHERE, 30)
    journal.release(lease)

    with pytest.raises(LateWriterError, match="given back"):
        journal.append("x", service="hello", environment="prod", lease=lease)
    with pytest.raises(LateWriterError, match="given back"):
        journal.renew(lease, 30)
    assert journal.events() == []


def test_a_lease_nobody_gave_is_refused(journal: Journal) -> None:
    forged = Lease("hello", "prod", ELSEWHERE, 7, datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(LateWriterError, match="does not know"):
        journal.append("x", service="hello", environment="prod", lease=forged)
    lease = journal.acquire("hello", "prod", ELSEWHERE, 30)
    with pytest.raises(LateWriterError):
        journal.append("x", service="hello", environment="prod", lease=replace(lease, token=7))


def test_a_lease_covers_its_own_place_only(journal: Journal) -> None:
    lease = journal.acquire("hello", "staging", ELSEWHERE, 30)
    with pytest.raises(InvalidInputError, match=r"hello prod.* under the lease on hello staging"):
        journal.append("x", service="hello", environment="prod", lease=lease)


def test_a_renewed_lease_lasts_longer_and_the_first_copy_of_it_still_writes(
    journal: Journal,
) -> None:
    lease = journal.acquire("hello", "prod", ELSEWHERE, 0.3)
    renewed = journal.renew(lease, 30)
    time.sleep(0.35)

    line = journal.append("x", service="hello", environment="prod", lease=lease)
    assert line.token == lease.token == renewed.token
    assert renewed.expires_at > lease.expires_at
    assert journal.holder("hello", "prod") == renewed


def test_who_slept_may_go_on_if_nobody_has_taken_the_lease_meanwhile(journal: Journal) -> None:
    lease = journal.acquire("hello", "prod", ELSEWHERE, 0)
    journal.renew(lease, 30)
    assert journal.append("x", service="hello", environment="prod", lease=lease).sequence == 1


ROUNDS = 25


def _race(url: str, number: int, start: float) -> list[bool]:
    journal = SqlJournal(url, wait_seconds=60)
    journal.holder("hello", "prod")
    time.sleep(max(0.0, start - time.time()))
    return [_wins(journal, f"place-{place}", number) for place in range(ROUNDS)]


def _wins(journal: Journal, environment: str, number: int) -> bool:
    try:
        return journal.acquire("hello", environment, f"web-{number}:boot:1:1:race", 60).token == 1
    except LeaseHeldError:
        return False


def test_of_processes_that_race_for_a_lease_exactly_one_wins(url: str) -> None:
    with ProcessPoolExecutor(2, mp_context=SPAWN) as pool:
        start = time.time() + 2
        results = [pool.submit(_race, url, number, start) for number in range(2)]
        first, second = (one.result() for one in results)
    assert [one + other for one, other in zip(first, second, strict=True)] == [1] * ROUNDS


HOLD = """
import sys, time
from tasks.adapters.journal import SqlJournal
from tasks.adapters.owner import this_owner
SqlJournal(sys.argv[1]).acquire("hello", "prod", this_owner("rollout of r7"), 600)
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def other(url: str) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lease on hello prod for ten minutes."""
    command = [sys.executable, "-c", HOLD, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_killed_owner_is_taken_over_at_once_and_a_live_one_is_not(
    journal: Journal, other: "subprocess.Popen[str]"
) -> None:
    mine = this_owner("heal")
    with pytest.raises(LeaseHeldError, match=f"rollout of r7 .process {other.pid} on"):
        journal.acquire("hello", "prod", mine, 30)
    os.kill(other.pid, signal.SIGSTOP)  # asleep is not gone
    with pytest.raises(LeaseHeldError):
        journal.acquire("hello", "prod", mine, 30)
    held = journal.holder("hello", "prod")
    assert held is not None

    other.kill()
    _until_zombie(other.pid)  # nobody has collected it yet, as after a crash under a busy parent
    assert journal.holder("hello", "prod") is None
    started = time.monotonic()
    assert journal.acquire("hello", "prod", mine, 30).token == held.token + 1
    assert time.monotonic() - started < 1


def test_an_owner_whose_process_is_collected_and_gone_is_taken_over(
    journal: Journal, other: "subprocess.Popen[str]"
) -> None:
    other.kill()
    other.wait()
    assert journal.acquire("hello", "prod", this_owner("heal"), 30).token == 2


def test_a_process_that_got_a_dead_owners_number_does_not_hold_its_lease(journal: Journal) -> None:
    me = parse(this_owner("rollout of r1"))
    assert me is not None
    journal.acquire("hello", "prod", str(replace(me, start="1")), 600)
    assert journal.acquire("hello", "prod", this_owner("heal"), 30).token == 2


def _until_zombie(pid: int) -> None:
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)


# ---- trouble -------------------------------------------------------------------------------------


def test_a_journal_locked_by_another_writer_says_so_in_time_and_can_still_be_read(url: str) -> None:
    SqlJournal(url).append("x", service="hello")
    journal = SqlJournal(url, wait_seconds=0.3)
    engine = engine_for(parsed_url(url), 1).execution_options(writes=True)
    with engine.begin():
        started = time.monotonic()
        with pytest.raises(TransientError, match=r"locked by another writer: waited 0.3 s"):
            journal.append("x", service="hello")
        assert 0.2 < time.monotonic() - started < 3
        with pytest.raises(TransientError, match="locked"):
            journal.acquire("hello", "prod", ELSEWHERE, 30)
        assert len(journal.events()) == 1
    journal.append("x", service="hello")
    assert verify_chain(journal.events()) is None


def test_a_writer_that_waits_gets_its_turn(url: str) -> None:
    SqlJournal(url).append("x", service="hello")
    engine = engine_for(parsed_url(url), 1).execution_options(writes=True)
    waiting = threading.Thread(
        target=SqlJournal(url).append, args=("y",), kwargs={"service": "hello"}
    )
    with engine.begin():
        waiting.start()
        time.sleep(0.3)
        assert len(SqlJournal(url).events()) == 1
    waiting.join()
    assert [line.kind for line in SqlJournal(url).events()] == ["x", "y"]


@pytest.mark.engine
def test_the_lock_of_postgresql_is_the_documented_one(postgres: str) -> None:
    journal = SqlJournal(postgres, wait_seconds=0.2)
    journal.append("x", service="hello")
    with closing(psycopg.connect(postgres)) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [WRITER_LOCK])
        with pytest.raises(TransientError, match="locked by another writer"):
            journal.append("x", service="hello")


DIE = """
import os, signal, sys
from sqlalchemy import text
from tasks.adapters.journal import SqlJournal
from tasks.adapters import journal as store
def killed(connection, line):
    connection.execute(text("UPDATE bakewell_journal SET sequence = 99"))
    os.kill(os.getpid(), signal.SIGKILL)
store._write = killed
SqlJournal(sys.argv[1]).append("half", service="hello")
"""


def test_a_writer_that_is_killed_in_the_middle_leaves_nothing_behind(
    url: str, journal: SqlJournal
) -> None:
    journal.append("x", service="hello")
    done = subprocess.run([sys.executable, "-c", DIE, url], check=False)
    assert done.returncode == -signal.SIGKILL
    journal.append("y", service="hello")
    assert [line.kind for line in journal.events()] == ["x", "y"]
    assert verify_chain(journal.events()) is None


def test_a_journal_that_is_opened_again_need_not_compile_its_statements_again(url: str) -> None:
    assert engine_for(parsed_url(url), 1) is engine_for(parsed_url(url), 1)
    assert engine_for(parsed_url(url), 1) is not engine_for(parsed_url(url), 2)


def test_a_journal_that_is_kept_open_holds_on_to_nothing_it_has_read(
    url: str, journal: SqlJournal
) -> None:
    with journal.kept_open():
        written = journal.append_all([Entry("x", "hello", {"n": n}) for n in range(3)])
        assert SqlJournal(url).events() == written
        assert journal.append_all([]) == []
        SqlJournal(url).append("y", service="hello")
        kinds = [line.kind for line in journal.events(kinds=["y", "z"])]
    assert kinds == ["y"]
    assert [line.sequence for line in journal.events()] == [1, 2, 3, 4]
    assert verify_chain(journal.events()) is None


def test_of_several_lines_all_are_written_or_none(journal: SqlJournal) -> None:
    with pytest.raises(InvalidInputError):
        journal.append_all([Entry("x", "hello", {}), Entry("a\nb", "hello", {})])
    assert journal.events() == []
