"""The scanner's own things: what it knows and where from, and a mirror of it. Knows nothing of Prefect."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tasks import oci, platforms
from tasks.adapters import trivy_binary, trivy_database, trivy_server, trivy_workers
from tasks.adapters.trivy_mirror import TAG, Mirrored, Place, mirror
from tasks.errors import BakewellError, InvalidInputError, NotFoundError, TransientError

Say = Callable[[str], None]


@dataclass(frozen=True)
class ScannerStatus:
    """`version` and `program` are empty where there is no scanner that may be used; `problem` says what is wrong.

    `database_updated_at` None: there is none. `sources` are asked for a newer one, in order; or `server` is asked.
    `workers`: each worker's folder, and how many bytes it has learnt of layers.
    """

    version: str
    program: str
    problem: str
    server: str
    database_updated_at: datetime | None
    database_bytes: int
    sources: tuple[str, ...]
    workers: tuple[tuple[str, int], ...]


def scanner_status() -> ScannerStatus:
    """As it is, without renewing anything."""
    home = platforms.home() / "trivy"
    version = program = problem = server = ""
    updated_at = None
    try:
        program = trivy_binary.binary()
        version = str(trivy_binary.version(program))
        if server := trivy_server.address():
            updated_at = trivy_server.asked(server).database_updated_at
    except BakewellError as error:
        problem = str(error)
    there = None if server else trivy_database.found(home)
    return ScannerStatus(
        version,
        program,
        problem,
        server,
        there.updated_at if there else updated_at,
        (there.folder / "trivy.db").stat().st_size if there else 0,
        () if server else trivy_database.mirrors(),
        tuple(_worker(one) for one in trivy_workers.folders(home)),
    )


def mirror_database(to: str, source: str = "", say: Say = lambda _: None) -> Mirrored:
    """Copy the database to `to` (`host/name`, `host/name:tag`) from `source`, else from the public places.

    The next of those is asked only if one does not answer or has none. Errors as in trivy_mirror.mirror.
    """
    own, problems = place(to), []
    for name in (source,) if source else trivy_database.MIRRORS:
        try:
            return mirror(place(name), own, datetime.now(UTC), say)
        except (TransientError, NotFoundError) as error:
            if source:
                raise
            problems.append(str(error))
    raise TransientError("; ".join(problems))


def place(reference: str) -> Place:
    """`host/name:tag`, `host/name@sha256:…`, `layout:folder:tag`; without a tag, the one of the schema that we read."""
    repository, at, digest = reference.partition("@")
    folder, slash, last = repository.rpartition("/")
    name, colon, tag = last.partition(":")
    if not slash or not name or (colon and not tag) or (at and not oci.is_digest(digest)):
        raise InvalidInputError(
            f"{reference!r} names no place for a vulnerability database; write host/name, host/name:tag or host/name@sha256:…"
        )
    return Place(platforms.store(f"{folder}/{name}"), digest or tag or TAG)


def _worker(folder: Path) -> tuple[str, int]:
    return os.fspath(folder), trivy_workers.size_bytes(folder / "fanal")
