"""Labels: by which tags people find a run in Prefect's pages, and where a run's own page is. Pure.

A tag is `what:value`, because Prefect's tags are words without a key: `service:shop` finds all that was done to the shop.
"""

from collections.abc import Iterable
from typing import Final

from flows.markdown import text
from tasks.lanes import LaneKind
from tasks.model import Source

OURS: Final = "bakewell"
SHORT: Final = 12


def tags_of(
    service: str = "",
    environments: Iterable[str] = (),
    source: Source | None = None,
    lane: LaneKind = LaneKind.NORMAL,
) -> tuple[str, ...]:
    """The ordinary lane is none to look for, and a tree outside Git has no commit."""
    known = (
        ("service", service),
        *(("environment", one) for one in environments),
        ("lane", "" if lane is LaneKind.NORMAL else lane.value),
        ("commit", commit_of(source) if source else ""),
    )
    return (OURS, *(f"{what}:{value}" for what, value in known if value))


def commit_of(source: Source) -> str:
    """As people write it; of a tree with changes that are not committed, it says so, as `git describe` does."""
    dirty = "-dirty" if source.dirty else ""
    return f"{source.commit[:SHORT]}{dirty}" if source.commit else ""


def run_link(words: str, run: str) -> str:
    """A Markdown link to a run's page; only the words where nobody knows the run. Without a host: people reach the same
    server by other names than workers do, by a tunnel or a proxy."""
    return f"[{text(words)}](/v2/runs/flow-run/{run})" if run else text(words)
