"""The journal in a database: SQLite, or PostgreSQL by URL. SQLAlchemy Core, because both speak it and no object is mapped.

Every write takes one lock first, so lines have one order and each knows the one before. No connection is kept between
calls: forks, threads and forgotten journals cost nothing.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NoReturn

from pydantic import JsonValue
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Row,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from tasks.adapters.journal_database import (
    EVENTS,
    HEAD,
    SCHEMA_VERSION,
    engine_for,
    make_tables,
    now_at,
    parsed_url,
)
from tasks.adapters.journal_errors import Place, explanation
from tasks.adapters.journal_leases import (
    forget,
    held_by,
    highest_forgotten,
    is_held,
    lease_of,
    lease_row,
    newest_row,
    same_token,
    still_held,
    take_lease,
)
from tasks.chain import FIRST, canonical, hash_of, moment
from tasks.errors import (
    CorruptError,
    InvalidInputError,
    LeaseHeldError,
    RefusedError,
)
from tasks.model import Lease
from tasks.ports import Entry, Event


class SqlJournal:
    """`url` is SQLAlchemy's: `sqlite:////folder/journal.db`, `postgresql://user@host/database`.

    `wait_seconds` is how long a write waits for other writers before it gives up with a TransientError.
    """

    def __init__(self, url: str, *, wait_seconds: float = 10.0) -> None:
        parsed = parsed_url(url)
        self._place = Place(parsed.render_as_string(hide_password=True), wait_seconds)
        self._engine = engine_for(parsed, wait_seconds)
        self._writer = self._engine.execution_options(writes=True)
        self._prepared = False

    def append(
        self,
        kind: str,
        *,
        service: str,
        environment: str = "",
        release: str = "",
        body: Mapping[str, JsonValue] | None = None,
        lease: Lease | None = None,
    ) -> Event:
        entry = _checked(Entry(kind, service, body or {}, environment, release))
        with self._writing() as connection:
            now = now_at(connection)
            if lease is not None:
                still_held(connection, lease, (service, environment), now)
            return _add(connection, entry, now, lease.token if lease else 0)

    def append_all(self, entries: Sequence[Entry]) -> Sequence[Event]:
        checked = [_checked(entry) for entry in entries]
        with self._writing() as connection:
            return _add_all(connection, checked, now_at(connection))

    def events(
        self, service: str | None = None, after: int = 0, kinds: Collection[str] = ()
    ) -> Sequence[Event]:
        """CorruptError if lines were cut off at the end; the rest of the chain is for `verify_chain` to prove."""
        query = select(EVENTS).where(EVENTS.c.sequence > after).order_by(EVENTS.c.sequence)
        if service is not None:
            query = query.where(EVENTS.c.service == service)
        if kinds:
            query = query.where(EVENTS.c.kind.in_(sorted(kinds)))
        with self._reading() as connection:
            _head(connection)
            rows = connection.execute(query).all()
        return [_event(row) for row in rows]

    def acquire(self, service: str, environment: str, owner: str, seconds: float) -> Lease:
        _printable(service=service, environment=environment, owner=owner)
        with self._writing() as connection:
            now = now_at(connection)
            row = lease_row(connection, service, environment)
            if row is not None and is_held(row, now):
                raise LeaseHeldError(held_by(row))
            token = 1 + (row.token if row is not None else highest_forgotten(connection))
            lease = Lease(service, environment, owner, token, now + timedelta(seconds=seconds))
            take_lease(connection, lease, now, row)
        return lease

    def renew(self, lease: Lease, seconds: float) -> Lease:
        """Also after it ran out, as long as nobody has taken it: a machine that slept wakes up and goes on."""
        with self._writing() as connection:
            newest_row(lease, lease_row(connection, lease.service, lease.environment))
            renewed = replace(lease, expires_at=now_at(connection) + timedelta(seconds=seconds))
            connection.execute(same_token(lease).values(expires_at=moment(renewed.expires_at)))
        return renewed

    def release(self, lease: Lease) -> None:
        with self._writing() as connection:
            connection.execute(
                same_token(lease).values(owner="", expires_at=moment(now_at(connection)))
            )

    def forget_leases(self, service: str, beginning: str, free_seconds: float) -> int:
        with self._writing() as connection:
            before = now_at(connection) - timedelta(seconds=free_seconds)
            return forget(connection, service, beginning, before)

    def holder(self, service: str, environment: str) -> Lease | None:
        with self._reading() as connection:
            now = now_at(connection)
            row = lease_row(connection, service, environment)
        return lease_of(row) if row is not None and is_held(row, now) else None

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """For who writes often. SQLite tidies up whenever the last connection closes: after each write, if none stays (17 ms
        instead of 3, on a busy machine). It must be ended by the thread that began it."""
        with self._reading():
            pass  # its tables are made, if they are not there
        if self._engine.dialect.name != "sqlite":
            yield
            return
        with self._engine.connect() as connection:
            connection.execute(select(HEAD.c.version))
            connection.rollback()  # what is read is not held on to: the log must not grow
            yield

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._begun(self._engine) as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._begun(self._writer) as connection:
            yield connection

    @contextmanager
    def _begun(self, engine: Engine) -> Iterator[Connection]:
        """One transaction, and only our errors out of it."""
        try:
            self._prepare()
            with engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise explanation(error.orig, self._place) from error

    def _prepare(self) -> None:
        """Make the tables if they are not there. Two who start at once wait for each other."""
        if self._prepared:
            return
        if (version := self._version()) is None:
            with self._writer.begin() as connection:
                make_tables(connection)
            version = self._version()
        if version != SCHEMA_VERSION:
            raise RefusedError(
                f"the journal {self._place.name} has tables of version {version}, this Bakewell knows version"
                f" {SCHEMA_VERSION}; use the Bakewell that wrote it, or a newer one"
            )
        self._prepared = True

    def _version(self) -> int | None:
        with self._engine.begin() as connection:
            if not inspect(connection).has_table(HEAD.name):
                return None
            version: int = _head_row(connection, HEAD.c.version)[0]
            return version


# ---- lines ---------------------------------------------------------------------------------------


def _head_row(connection: Connection, *columns: Column[Any]) -> Row[Any]:
    row = connection.execute(select(*columns)).first()
    if row is None:
        raise CorruptError(
            f"the journal's table {HEAD.name} should have one row and has none; restore the journal from a backup"
        )
    return row


def _head(connection: Connection) -> tuple[int, str]:
    """Number and hash of the newest line. The chain alone cannot show that lines are missing at its end; this does."""
    count, newest = _head_row(connection, HEAD.c.sequence, HEAD.c.hash)
    last = select(EVENTS.c.sequence, EVENTS.c.hash).order_by(EVENTS.c.sequence.desc()).limit(1)
    row = connection.execute(last).first() or (0, FIRST)
    if tuple(row) != (count, newest):
        raise CorruptError(
            f"the journal's newest line should be {count} with the hash {newest[:12]}…, it is {row[0]} with"
            f" {row[1][:12]}…: lines were removed, added or replaced at its end. Restore it from a backup"
        )
    return count, newest


def _checked(entry: Entry) -> Entry:
    """With its body as it will be read again."""
    _printable(
        kind=entry.kind,
        service=entry.service,
        environment=entry.environment,
        release=entry.release,
    )
    return replace(entry, body=_plain(entry.kind, entry.body))


def _add(connection: Connection, entry: Entry, now: datetime, token: int) -> Event:
    """One more line, behind the newest."""
    line = _line(entry, now, token, *_head(connection))
    _write(connection, line)
    return line


def _add_all(connection: Connection, entries: Sequence[Entry], now: datetime) -> list[Event]:
    """Many, in two statements: the receiver of pushes files as many at once as have come."""
    lines: list[Event] = []
    count, newest = _head(connection)
    for entry in entries:
        lines.append(_line(entry, now, 0, count, newest))
        count, newest = lines[-1].sequence, lines[-1].hash
    if lines:
        connection.execute(insert(EVENTS), [_row(line) for line in lines])
        connection.execute(update(HEAD).values(sequence=count, hash=newest))
    return lines


def _line(entry: Entry, now: datetime, token: int, count: int, previous: str) -> Event:
    words = (entry.kind, entry.service, entry.environment, entry.release, entry.body)
    line = Event(count + 1, now, *words, token, previous, "")
    return replace(line, hash=hash_of(line))


def _write(connection: Connection, line: Event) -> None:
    connection.execute(insert(EVENTS).values(_row(line)))
    connection.execute(update(HEAD).values(sequence=line.sequence, hash=line.hash))


def _row(line: Event) -> dict[str, Any]:
    return {**vars(line), "at": moment(line.at), "body": canonical(line.body)}


def _event(row: Row[Any]) -> Event:
    sequence, at, kind, service, environment, release, body, token, previous, digest = row
    try:
        plain = json.loads(body, parse_constant=_no_number)
        if not isinstance(plain, dict):
            raise TypeError(f"its body is {body[:40]!r}, not an object")
        moment_of = datetime.fromisoformat(at)
    except (ValueError, TypeError) as error:
        raise CorruptError(
            f"line {sequence} of the journal cannot be read: {error}; it was changed after it was written. Restore"
            " the journal from a backup"
        ) from error
    return Event(
        sequence, moment_of, kind, service, environment, release, plain, token, previous, digest
    )


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _plain(kind: str, body: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """As it will be read again."""
    try:
        plain: dict[str, JsonValue] = json.loads(canonical(dict(body)))
    except (ValueError, TypeError) as error:
        raise InvalidInputError(
            f"the body of an event {kind!r} must be plain JSON: {error}; nothing was written"
        ) from error
    return plain


def _printable(**words: str) -> None:
    for name, word in words.items():
        if not word.isprintable():
            raise InvalidInputError(
                f"the {name} {word!r} cannot be journalled: it has unprintable characters; nothing was written"
            )
