"""Where known vulnerabilities are looked up now: in a database on this machine, or by a server of one's own."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from tasks.adapters import trivy_binary, trivy_database, trivy_server
from tasks.adapters.trivy_database import SKEW_HOURS, Database
from tasks.errors import BakewellError

OLD_HOURS: Final = 48.0  # what policies allow unless they say otherwise


@dataclass(frozen=True)
class Knowledge:
    """`updated_at` None: there is none. `problem`: why there is none, or no newer one; empty if nothing went wrong.

    It comes from `server` (its address), or from `database`.
    """

    updated_at: datetime | None = None
    problem: str = ""
    server: str = ""
    database: Database | None = None


def knowledge(home: Path) -> Knowledge:
    """The newest that can be had; a database is downloaded if need be. Whatever goes wrong is told, not raised."""
    try:
        trivy_binary.binary()
        if server := trivy_server.address():
            return Knowledge(trivy_server.asked(server).database_updated_at, "", server)
    except BakewellError as error:
        return Knowledge(None, str(error))
    problem, there = trivy_database.freshened(home), trivy_database.found(home)
    if there is None:
        return Knowledge(None, problem or f"there is none in {home} that Trivy can read")
    return Knowledge(there.updated_at, problem, "", there)


def problem_of(known: Knowledge, allowed_hours: float, now: datetime) -> str:
    """One sentence if it is none, or older than that; else empty."""
    if known.updated_at is None:
        return known.problem
    age_hours = (now - known.updated_at).total_seconds() / 3600
    if -SKEW_HOURS <= age_hours <= allowed_hours:
        return ""
    source = f"the server {known.server}" if known.server else "its mirror"
    why = known.problem or f"{source} has nothing newer"
    return f"the vulnerability database is of {known.updated_at:%Y-%m-%d %H:%M} UTC and cannot be renewed: {why}"
