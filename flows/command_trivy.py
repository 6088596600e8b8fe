"""What a person can ask about the scanner: `bakewell trivy …`. Nothing here changes what runs."""

import json as plain_json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Group, RenderableType
from rich.text import Text

from flows import console
from flows.words import duration
from tasks.adapters.trivy_mirror import Mirrored
from tasks.scan.database import ScannerStatus, mirror_database, scanner_status

Json = Annotated[bool, Parameter(name="--json", negative="")]
From = Annotated[str, Parameter(name="--from")]

trivy = App(name="trivy", help="The scanner: what it knows, and a mirror of it.")


@trivy.command
def status(*, json: Json = False) -> int:
    """Show the scanner's version, how old its vulnerability database is and where it comes from. Renews nothing.

    Parameters
    ----------
    json
        Print as JSON.
    """
    found = scanner_status()
    _show(json, asdict(found), lambda: _status(found, datetime.now(UTC)))
    return 5 if found.problem else 0


@trivy.command(name="mirror")
def mirror_command(to: str, *, source: From = "", json: Json = False) -> int:
    """Copy the published vulnerability database to a registry of your own, unless that has a newer one.

    Machines use it with BAKEWELL_TRIVY_DB=host/name:2.

    Parameters
    ----------
    to
        Where to: host/name, or host/name:tag.
    source
        Where from; else the public places.
    json
        Print as JSON.
    """
    found = mirror_database(to, source, _tell if not json else lambda _: None)
    _show(json, asdict(found), lambda: _mirrored(to, found, datetime.now(UTC)))
    return 0


def _tell(words: str) -> None:
    console.out(Text(words, style="dim"))


def _show(as_json: bool, data: object, picture: Callable[[], RenderableType]) -> None:
    if as_json:
        print(plain_json.dumps(data, indent=2, default=str))
    else:
        console.out(picture())


def _status(found: ScannerStatus, now: datetime) -> RenderableType:
    lines = [f"trivy {found.version} ({found.program})" if found.version else "no trivy to be used"]
    if found.problem:
        lines.append(f"problem: {found.problem}")
    where = f"by the server {found.server}" if found.server else ", ".join(found.sources)
    lines += [f"vulnerability database: {_age(found, now)}", f"  from {where}"]
    for folder, size in found.workers:
        lines.append(f"cache of layers: {folder}, {size / 1e6:.1f} MB")
    return Group(*map(Text, lines))


def _age(found: ScannerStatus, now: datetime) -> str:
    if found.database_updated_at is None:
        return "none"
    size = f", {found.database_bytes / 1e6:.1f} MB" if found.database_bytes else ""
    return f"{_old(found.database_updated_at, now)}{size}"


def _mirrored(to: str, found: Mirrored, now: datetime) -> RenderableType:
    one = found.published
    did = "has now" if found.moved else "had already"
    size = f"{one.size_bytes / 1e6:.1f} MB"
    return Text(f"{to} {did} {one.digest}, {_old(one.updated_at, now)}, {size}")


def _old(moment: datetime, now: datetime) -> str:
    age = max(0.0, (now - moment).total_seconds())
    return f"of {moment:%Y-%m-%d %H:%M} UTC, {duration(age)} old"
