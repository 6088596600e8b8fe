"""Leases, as rows beside the journal's lines: taken by compare and swap, one writer at a time."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Update, delete, func, insert, select, update

from tasks.adapters.journal_database import FORGOTTEN, LEASES, now_at
from tasks.adapters.owner import describe, is_gone
from tasks.chain import moment
from tasks.errors import InvalidInputError, LateWriterError
from tasks.model import Lease


def lease_row(connection: Connection, service: str, environment: str) -> Row[Any] | None:
    here = (LEASES.c.service == service) & (LEASES.c.environment == environment)
    return connection.execute(select(LEASES).where(here)).first()


def lease_of(row: Row[Any]) -> Lease:
    return Lease(
        row.service, row.environment, row.owner, row.token, datetime.fromisoformat(row.expires_at)
    )


def is_held(row: Row[Any], now: datetime) -> bool:
    return bool(row.owner) and row.expires_at > moment(now) and not is_gone(row.owner)


def highest_forgotten(connection: Connection) -> int:
    """Of all leases that were forgotten, the highest token: those on places that are not known begin above it."""
    row = lease_row(connection, *FORGOTTEN)
    return row.token if row is not None else 0


def forget(connection: Connection, service: str, beginning: str, before: datetime) -> int:
    """Of the service, on places whose name begins so, that ended before. How many."""
    chosen = (
        (LEASES.c.service == service)
        & LEASES.c.environment.startswith(beginning, autoescape=True)
        & (LEASES.c.expires_at < moment(before))
    )
    highest = connection.execute(select(func.max(LEASES.c.token)).where(chosen)).scalar()
    if highest is None:
        return 0
    _note_forgotten(connection, max(highest, highest_forgotten(connection)))
    return connection.execute(delete(LEASES).where(chosen)).rowcount


def _note_forgotten(connection: Connection, token: int) -> None:
    service, environment = FORGOTTEN
    here = (LEASES.c.service == service) & (LEASES.c.environment == environment)
    now = moment(now_at(connection))
    values = {"owner": "", "token": token, "acquired_at": now, "expires_at": now}
    if connection.execute(update(LEASES).where(here).values(values)).rowcount == 0:
        place = {"service": service, "environment": environment}
        connection.execute(insert(LEASES).values({**values, **place}))


def take_lease(
    connection: Connection, lease: Lease, now: datetime, before: Row[Any] | None
) -> None:
    values = {**vars(lease), "acquired_at": moment(now), "expires_at": moment(lease.expires_at)}
    if before is None:
        connection.execute(insert(LEASES).values(values))
    else:
        seen = replace(lease, token=before.token)
        connection.execute(same_token(seen).values(values))


def same_token(lease: Lease) -> Update:
    """Compare and swap: changes nothing once the token has moved on."""
    return update(LEASES).where(
        LEASES.c.service == lease.service,
        LEASES.c.environment == lease.environment,
        LEASES.c.token == lease.token,
    )


def newest_row(lease: Lease, row: Row[Any] | None) -> Row[Any]:
    """The lease's row; LateWriterError if it is somebody else's, or nobody's, by now."""
    if row is None or row.token < lease.token:
        raise LateWriterError(
            _late(lease, "the journal does not know it; was an old copy restored?")
        )
    if row.token > lease.token:
        other = describe(row.owner) if row.owner else "somebody who has given it back since"
        raise LateWriterError(_late(lease, f"it was taken over by {other} (token {row.token})"))
    if not row.owner:
        raise LateWriterError(_late(lease, "it was given back"))
    return row


def still_held(connection: Connection, lease: Lease, place: tuple[str, str], now: datetime) -> None:
    if place != (lease.service, lease.environment):
        raise InvalidInputError(
            f"an event of {_name(*place)} cannot be written under the lease on"
            f" {_name(lease.service, lease.environment)}; nothing was written"
        )
    row = newest_row(lease, lease_row(connection, *place))
    if row.expires_at <= moment(now):
        raise LateWriterError(
            _late(lease, f"it ran out at {row.expires_at} and was not renewed; it is {moment(now)}")
        )


def _late(lease: Lease, found: str) -> str:
    return (
        f"{describe(lease.owner)} wanted to write under its lease on {_name(lease.service, lease.environment)}"
        f" (token {lease.token}), but {found}. Nothing was written; stop this work, `bakewell status` shows what is"
        " there"
    )


def held_by(row: Row[Any]) -> str:
    return (
        f"{_name(row.service, row.environment)} is being changed by {describe(row.owner)} since {row.acquired_at},"
        f" its lease lasts until {row.expires_at} and is renewed while it works. Wait for it, or stop that process:"
        " its lease is free at once if it ran on this machine, else when it has run out"
    )


def _name(service: str, environment: str) -> str:
    return f"{service} {environment}" if environment else f"{service} (its releases)"
