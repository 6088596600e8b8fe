"""An installation for people and for machines: what is up since when, and what is not well."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table
from rich.text import Text

from flows.installation import PartState, UpState, is_up, state_of
from flows.words import listed, one_line


def as_json(state: UpState) -> dict[str, object]:
    """up, pid, since, api, ui, healthy, parts [{name, what, pid, since, restarts, healthy, note, remark}]; moments are seconds."""
    return {"up": True, **vars(state), "parts": [vars(one) for one in state.parts]}


def table(state: UpState) -> Table:
    """One line for each part; the address where people look stands above."""
    found = Table(
        box=None, pad_edge=False, title=f"Prefect's pages: {state.ui}", title_justify="left"
    )
    for name in ("part", "", "since", "restarts", ""):
        found.add_column(name, overflow="fold")
    for one in state.parts:
        since = _moment(one.since) if one.pid else ""
        words = one_line(one.remark or one.note or one.what)
        found.add_row(one.name, _word(one), since, str(one.restarts or ""), Text(words))
    found.add_row("supervisor", "well", _moment(state.since), "", f"process {state.pid}")
    return found


def up_lines(home: Path) -> Iterator[Text]:
    """For `bakewell status`: one line, if somebody brought an installation up here and nobody took it down."""
    if (state := state_of(home)) is None:
        return
    if not is_up(home):
        yield Text(
            f"The installation is NOT up: its supervisor (process {state.pid}) is gone; `bakewell up` takes over what is left\n",
            style="bold red",
        )
    elif wrong := list(troubles(state)):
        words = one_line("; ".join(wrong))
        yield Text(
            f"The installation is not well: {words} (`bakewell up --status`)\n",
            style="bold yellow",
            overflow="fold",
        )
    else:
        names = listed([one.name for one in state.parts if one.pid])
        yield Text(f"The installation is well: {names}; Prefect's pages: {state.ui}\n", style="dim")


def troubles(state: UpState) -> Iterator[str]:
    """A few words for each thing that is not as it should be."""
    if not state.api:
        yield "there is no Prefect server yet"
    for one in state.parts:
        if not one.healthy:
            yield f"the {one.name} is {_word(one)}{f' ({one.note})' if one.note else ''}"
        elif one.remark:
            yield f"the {one.name} says: {one.remark}"


def _word(one: PartState) -> str:
    if one.healthy:
        return "well, but" if one.remark else "well"
    return "starting" if one.pid else "down"


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
