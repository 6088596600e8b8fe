"""Chores: what has to be done again and again so that nothing stays half done, whoever died. Each is idempotent, takes the
leases it needs, and needs the journal and the platforms only: `bakewell up` does them every few seconds, the flow `drift` at
each of its runs."""

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from flows.story import Tone, tell
from tasks.errors import BakewellError

Chore = Callable[[], Iterable[str]]
"""Does what is due and says each thing that it did, in a sentence."""

CHORES: Final[tuple[str, ...]] = (
    "flows.reconciling:reconcile",
    "flows.mending:mend",
    "flows.waking:wake",
    "flows.delivering:deliver",
    "flows.notifying:notify",
    "flows.base_watch:watch_bases",
    "flows.zombies:close_zombies",
    "flows.runs:forget_runs",
)
"""In this order, as module:function, imported when first done. What returns users to safety comes first."""

PATIENT: Final = frozenset({"flows.mending:mend"})
"""These may wait for instances to start. A keeper does them beside the others, whose promises are shorter."""


def do_chores(names: Iterable[str] = CHORES) -> Iterator[str]:
    """All of them; one that fails keeps no other from being done. Yields what was done."""
    for name in names:
        try:
            yield from do_chore(name)
        except BakewellError as error:
            tell(f"{failed(name, error)}; the next round tries again", Tone.WARN)


def do_chore(name: str) -> Iterator[str]:
    """Yields what was done. BakewellError."""
    module, _, function = name.partition(":")
    chore: Chore = getattr(importlib.import_module(module), function)
    yield from chore()


def failed(name: str, error: BakewellError) -> str:
    return f"could not {name.partition(':')[2]}: {error}"
