"""Where Prefect's server keeps what it knows: SQLite in the home, or the PostgreSQL that a person names."""

import os
from pathlib import Path
from typing import Final

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from tasks.adapters.prefect_server import API_URL, LocalPrefectServer
from tasks.errors import InvalidInputError, RefusedError

DATABASE: Final = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
DRIVER: Final = "postgresql+asyncpg"


def use_database(given: str, home: Path) -> None:
    """Put it into this process's environment, which the server inherits. An empty string: whatever is there already.

    InvalidInputError if it is no PostgreSQL URL, or tells a password to all who can list processes. RefusedError if a server
    of this home is running on another database.
    """
    if given:
        os.environ[DATABASE] = checked(given)
    running = LocalPrefectServer(home).settings() if not os.environ.get(API_URL) else {}
    wanted = os.environ.get(DATABASE, "")
    if running and running.get(DATABASE, "") != wanted:
        raise RefusedError(
            "asked for a Prefect server on another database than the one that is running in this home; end that one"
            " first: `bakewell down --all` (what it knows of past runs stays in its own database)"
        )


def checked(given: str) -> str:
    """As Prefect wants it: with the driver that it brings."""
    try:
        url = make_url(given)
    except ArgumentError as error:
        raise InvalidInputError(
            f"--database is to be a URL such as postgresql://user@host/prefect: {error}"
        ) from error
    if url.password is not None:
        raise InvalidInputError(
            f"--database has a password, which everybody on this machine could read; put the URL into ${DATABASE}"
        )
    if url.get_backend_name() != "postgresql":
        raise InvalidInputError(
            f"--database names {url.get_backend_name()}; Prefect's server takes PostgreSQL, or SQLite in the home"
            " where nothing is given"
        )
    return url.set(drivername=DRIVER).render_as_string(hide_password=False)
