"""What `bakewell keys` shows: who may vouch for what here, and what follows from a change."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from flows.verification import artifact_of
from tasks.evidence import Attested
from tasks.sign import evidence
from tasks.sign.keys import KeyLine

SHORT = 16


def as_json(lines: Sequence[KeyLine]) -> list[dict[str, Any]]:
    """One object a key; times as ISO 8601, null where there is no limit."""
    return [asdict(one) for one in lines]


def table(lines: Sequence[KeyLine]) -> Table | Text:
    """For people. No line: no key was made or trusted yet."""
    if not lines:
        return Text("no keys yet: they are made when something is first signed")
    found = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("role", "name", "fingerprint", "valid", "private half", ""):
        found.add_column(name, overflow="fold")
    for one in lines:
        style = "" if one.valid else "dim"
        cells = (one.role.value, one.name, one.fingerprint[:SHORT], limits(one), one.back_end)
        found.add_row(*map(Text, cells), Text("signs" if one.signs else ""), style=style)
    return found


def limits(one: KeyLine) -> str:
    """Between when and when its signatures count."""
    begin = f"from {_day(one.not_before)}" if one.not_before else ""
    end = f"until {_day(one.not_after)}" if one.not_after else ""
    return " ".join(part for part in (begin, end) if part) or "always"


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def resigned(reference: str) -> tuple[Attested, ...]:
    """Sign again what only keys vouch for that are about to leave. InvalidInputError for what names no artifact."""
    return evidence.resign(artifact_of(reference))


def in_utc(moment: datetime | None) -> datetime | None:
    """What a person has typed without a zone is UTC."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def rotated_words(lines: Sequence[KeyLine], name: str) -> str:
    """After a rotation: who signs, and what to do before the old key leaves."""
    new = next(one for one in lines if one.name == name)
    words = f"{name} signs as {new.role.value} from now on (fingerprint {new.fingerprint[:SHORT]})"
    leaving = [one for one in lines if one.role is new.role and one.valid and one.not_after]
    told = (
        f"; {one.name} counts {limits(one)}: sign again what must outlive it with `bakewell keys resign REFERENCE`"
        for one in leaving
    )
    last = f"; bring its public half (`bakewell keys export {new.role.value}`) to whoever verifies"
    return "".join([words, *told, last])
