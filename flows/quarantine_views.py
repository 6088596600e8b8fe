"""Quarantines for people and for machines: what is held, where it runs, and what was replaced. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import JsonValue
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flows.words import count, moment, one_line, quarantine_words
from tasks.evidence import Quarantine

if TYPE_CHECKING:
    from flows.quarantine import Found, Whereabouts
    from flows.replacing import Replaced

Json = dict[str, JsonValue]


def listed_table(
    found: Sequence[tuple[Quarantine, "Whereabouts"]], now: datetime
) -> RenderableType:
    """One line each, and under it where it runs."""
    if not found:
        return Text("Nothing is quarantined.")
    return Group(*(part for one, where in found for part in _listed(one, where, now)))


def _listed(one: Quarantine, where: "Whereabouts", now: datetime) -> Iterable[RenderableType]:
    over = "" if one.in_force(now) else " (over)"
    style = "bold" if one.in_force(now) else "dim"
    yield Text(one_line(f"{quarantine_words(one)}{over}"), style=style, overflow="fold")
    yield Text(f"  since {moment(one.since)} UTC", style="dim")
    yield from _where(where)


def outcome_view(
    made: Quarantine, done: Sequence["Replaced"], now: "Whereabouts", *, asked: bool
) -> RenderableType:
    """What holds now, what was done about it, and what still runs."""
    words = quarantine_words(made)
    parts: list[RenderableType] = [Text(one_line(f"{words[0].upper()}{words[1:]}"), style="bold")]
    if done:
        parts.append(_replaced(done))
    if now.found or now.unseen:
        parts.append(Text("It still runs:" if asked else "It runs:", style="bold"))
        parts += _where(now)
        if not asked:
            parts.append(Text("`--replace` rolls these back to what is admitted.", style="dim"))
    else:
        parts.append(Text("It runs nowhere.", style="green"))
    return Group(*parts)


def _replaced(done: Sequence["Replaced"]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for heading in ("environment", "was", "is now", "what was done"):
        table.add_column(heading, overflow="fold")
    for one in done:
        words = Text(one_line(one.words), style="bold red" if one.failed else "green")
        table.add_row(
            f"{one.service} {one.environment}", one.was or "-", one.is_now or one.was or "-", words
        )
    return table


def _where(where: "Whereabouts") -> Iterable[Text]:
    for one in where.found:
        place = f"{one.environment.service} {one.environment.name}"
        words = f"{place}: {one.release} ({one.artifact.short}, {one.place.value}): {one.hit.why}"
        unsure = "" if one.is_held else " (nobody could tell)"
        yield Text(f"  {one_line(words + unsure)}", style="bold red" if one.is_held else "yellow")
    for line in where.unseen:
        yield Text(f"  {one_line(line)}: could not be asked", style="yellow")
    if not where.found and not where.unseen:
        yield Text("  runs nowhere", style="dim")


def in_force_lines(quarantines: Sequence[Quarantine]) -> Iterable[RenderableType]:
    """For the end of `bakewell status`."""
    if quarantines:
        heading = f"{count(len(quarantines), 'quarantine')} in force"
        yield Text(f"{heading} (`bakewell quarantine list` shows where it runs)", style="bold")
    for one in quarantines:
        yield Text(f"  {one_line(quarantine_words(one))}", overflow="fold")


# ---- for machines --------------------------------------------------------------------------------


def listed_json(found: Sequence[tuple[Quarantine, "Whereabouts"]], now: datetime) -> list[Json]:
    """Per quarantine: kind, what, reason, by, since, until, in_force, runs [{…}], not_asked [sentence]."""
    return [_quarantine(one, where, one.in_force(now)) for one, where in found]


def outcome_json(made: Quarantine, done: Sequence["Replaced"], now: "Whereabouts") -> Json:
    """The same of one, and replaced [{service, environment, was, is_now, words, failed}]."""
    replaced: list[JsonValue] = [dict(vars(one)) for one in done]
    return {**_quarantine(made, now, True), "replaced": replaced}


def _quarantine(one: Quarantine, where: "Whereabouts", in_force: bool) -> Json:
    runs: list[JsonValue] = [_found(each) for each in where.found]
    return {
        "kind": one.kind.value,
        "what": one.what,
        "reason": one.reason,
        "by": one.by,
        "since": one.since.isoformat(),
        "until": one.until.isoformat() if one.until else None,
        "in_force": in_force,
        "runs": runs,
        "not_asked": list(where.unseen),
    }


def _found(one: "Found") -> Json:
    return {
        "service": one.environment.service,
        "environment": one.environment.name,
        "as": one.place.value,
        "release": one.release,
        "digest": one.artifact.digest,
        "certainty": one.hit.certainty.value,
        "why": one.hit.why,
    }
