"""What a database's own error means for the journal. Knows SQLite's result codes and PostgreSQL's SQLSTATEs, no SDK."""

import sqlite3
from dataclasses import dataclass
from enum import Enum
from typing import Final

from tasks.errors import (
    BakewellError,
    CorruptError,
    InvalidInputError,
    RefusedError,
    TransientError,
)


@dataclass(frozen=True)
class Place:
    """Where the journal is, without its password, and how long a write waits for others."""

    name: str
    wait_seconds: float


class Fault(Enum):
    """What is wrong, and what to say about it."""

    LOCKED = (
        "is locked by another writer: waited {wait:g} s for it, in vain. Nothing was written. Try again; if it stays"
        " locked, find the process that holds it (SQLite: `fuser` on the file; PostgreSQL: the view pg_locks)"
    )
    FULL = (
        "could not be written, its disk is full ({said}). Nothing was written, and what was there is intact. Free some"
        " space, then do it again"
    )
    DISK = (
        "could not be read or written ({said}): its disk is full, at its limit or failing. Nothing was written."
        " See to the disk, then do it again"
    )
    UNREACHABLE = (
        "did not answer ({said}). Whether the newest line was written, `bakewell history` tells. Check that the"
        " database runs and can be reached, then do it again"
    )
    READ_ONLY = (
        "may not be written here ({said}). Nothing was written. Give this user write access to the file and its"
        " folder, or to the database"
    )
    CLOSED = "could not be opened ({said}). Check that the folder or database exists and that this user may use it"
    BROKEN = "is damaged ({said}). Do not write to it any more: copy it aside, then restore it from a backup"
    UNFIT = "cannot hold this value ({said}). Nothing was written"
    OTHER = "could not do it ({said}). Nothing was written; this is likely a fault of Bakewell"


TRANSIENT: Final = frozenset({Fault.LOCKED, Fault.FULL, Fault.DISK, Fault.UNREACHABLE})

SQLITE: Final = {
    sqlite3.SQLITE_BUSY: Fault.LOCKED,
    sqlite3.SQLITE_LOCKED: Fault.LOCKED,
    sqlite3.SQLITE_PROTOCOL: Fault.LOCKED,
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_IOERR: Fault.DISK,
    sqlite3.SQLITE_READONLY: Fault.READ_ONLY,
    sqlite3.SQLITE_PERM: Fault.READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: Fault.CLOSED,
    sqlite3.SQLITE_CORRUPT: Fault.BROKEN,
    sqlite3.SQLITE_NOTADB: Fault.BROKEN,
    sqlite3.SQLITE_TOOBIG: Fault.UNFIT,
}

# By the longest prefix that fits.
POSTGRES: Final = {
    "": Fault.OTHER,
    "08": Fault.UNREACHABLE,
    "22": Fault.UNFIT,
    "25006": Fault.READ_ONLY,
    "25P02": Fault.OTHER,
    "28": Fault.CLOSED,
    "3D": Fault.CLOSED,
    "40": Fault.LOCKED,
    "42501": Fault.READ_ONLY,
    "53": Fault.UNREACHABLE,
    "53100": Fault.FULL,
    "55P03": Fault.LOCKED,
    "57": Fault.UNREACHABLE,
    "58030": Fault.DISK,
    "XX001": Fault.BROKEN,
    "XX002": Fault.BROKEN,
}


def explanation(original: BaseException | None, place: Place) -> BakewellError:
    """The error to raise instead of the database's own."""
    fault = _fault(original)
    said = " ".join(str(original).split())
    words = fault.value.format(wait=place.wait_seconds, said=said)
    return _kind(fault)(f"the journal {place.name} {words}")


def _kind(fault: Fault) -> type[BakewellError]:
    if fault in TRANSIENT:
        return TransientError
    return {Fault.BROKEN: CorruptError, Fault.UNFIT: InvalidInputError}.get(fault, RefusedError)


def _fault(original: BaseException | None) -> Fault:
    if isinstance(original, sqlite3.Error):
        code = getattr(original, "sqlite_errorcode", None)
        return SQLITE.get(code & 0xFF, Fault.OTHER) if code is not None else Fault.OTHER
    state = getattr(original, "sqlstate", None)
    if state is None:  # psycopg gives none when no connection came about, or when it broke
        return Fault.UNREACHABLE
    return next(
        POSTGRES[state[:length]]
        for length in range(len(state), -1, -1)
        if state[:length] in POSTGRES
    )
