"""The journal's tables, and what SQLite and PostgreSQL must be told before the two behave alike.

Both: one writer at a time, a write that waits no longer than it was told to, and reads that wait for nobody and see the
journal as it was at one moment.
"""

import sqlite3
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    NullPool,
    String,
    Table,
    Text,
    create_engine,
    func,
    insert,
    select,
)
from sqlalchemy import event as hook
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from tasks.chain import FIRST
from tasks.errors import InvalidInputError

SCHEMA_VERSION: Final = 1
WRITER_LOCK: Final = 0x62616B6577656C6C  # "bakewell": the advisory lock's number in PostgreSQL
DRIVERS: Final = {
    "sqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}

# Prefixed: the database may be shared with others (Prefect has a table `events`). Times are text in one spelling,
# so that what was hashed is what is read, on both back-ends.
TABLES: Final = MetaData()
HEAD: Final = Table(
    "bakewell_journal",
    TABLES,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)
EVENTS: Final = Table(
    "bakewell_events",
    TABLES,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),
    Column("kind", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("bakewell_events_of_service", "service", "sequence"),
)
LEASES: Final = Table(
    "bakewell_leases",
    TABLES,
    Column("service", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("owner", Text, nullable=False),  # empty: given back
    Column("token", BigInteger, nullable=False),
    Column("acquired_at", String(32), nullable=False),
    Column("expires_at", String(32), nullable=False),
)
FORGOTTEN: Final = ("", "(forgotten)")
"""Service and environment of the row among the leases that keeps the highest token of all that were forgotten."""


def parsed_url(url: str) -> URL:
    """The URL with the driver we use. Its text is not repeated in an error: it may hold a password."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidInputError(
            "the journal's URL cannot be read; write `sqlite:////folder/journal.db` or"
            " `postgresql://user@host/database`"
        ) from error
    driver = DRIVERS.get(parsed.get_backend_name())
    if driver is None or (
        driver == DRIVERS["sqlite"] and parsed.database in (None, "", ":memory:")
    ):
        raise InvalidInputError(
            f"a journal cannot be kept in {parsed.render_as_string(hide_password=True)}; it can in an SQLite file"
            " (`sqlite:////folder/journal.db`) or in PostgreSQL (`postgresql://user@host/database`)"
        )
    return parsed.set(drivername=driver)


@lru_cache(maxsize=16)
def engine_for(url: URL, wait_seconds: float) -> Engine:
    """One for each database of this process: it holds no connection, but every statement that it has compiled, which
    takes longer than to run one."""
    if url.get_backend_name() == "sqlite":
        settings = {"timeout": wait_seconds, "isolation_level": None}  # we say BEGIN ourselves
        engine = create_engine(url, poolclass=NullPool, connect_args=settings)
        hook.listen(engine, "connect", lambda raw, _: _set_up_sqlite(raw, wait_seconds))
        hook.listen(engine, "begin", _begin_sqlite)
        return engine
    settings = {"connect_timeout": max(2, round(wait_seconds)), "prepare_threshold": None}
    engine = create_engine(
        url,
        poolclass=NullPool,
        isolation_level="READ COMMITTED",  # what is read after the lock must be newer than the lock
        connect_args={name: value for name, value in settings.items() if name not in url.query},
    )
    hook.listen(engine, "begin", lambda connection: _begin_postgres(connection, wait_seconds))
    return engine


def _set_up_sqlite(raw: sqlite3.Connection, wait_seconds: float) -> None:
    """Readers never wait for the writer (WAL), and what was committed survives a power cut (FULL)."""
    raw.execute("PRAGMA synchronous = FULL")
    end = time.monotonic() + wait_seconds
    while True:
        try:
            raw.execute("PRAGMA journal_mode = WAL").close()
            return
        except sqlite3.OperationalError as error:
            # Two who switch a new file to WAL at once are refused without SQLite's own wait.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_postgres(connection: Connection, wait_seconds: float) -> None:
    if connection.get_execution_options().get("writes", False):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {max(1, round(wait_seconds * 1000))}")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")
    else:  # all that is read is of one moment: else a line written in between looks like one too many
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def now_at(connection: Connection) -> datetime:
    """The database's clock where it has one: machines that share a journal must agree on when a lease is over."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)


def make_tables(connection: Connection) -> None:
    TABLES.create_all(connection)
    if connection.execute(select(HEAD.c.id)).first() is None:
        connection.execute(
            insert(HEAD).values(id=1, version=SCHEMA_VERSION, sequence=0, hash=FIRST)
        )
