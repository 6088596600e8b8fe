"""Labels: by which tags people find a run in Prefect's pages, and where a run's own page is. Pure.

A tag is `what:value`, because Prefect's tags are words without a key: `service:shop` finds all that was done to the shop.
"""

from collections.abc import Iterable
from typing import Final

from flows.markdown import text
from tasks.lanes import LaneKind
from tasks.model import Source

SHORT: Final = 12


def tags_of(
    service: str = "",
    environments: Iterable[str] = (),
    source: Source | None = None,
    lane: LaneKind = LaneKind.NORMAL,
) -> tuple[str, ...]:
    """What people look for most comes first: of many, a page shows three. The ordinary lane is none to look for, and a tree
    outside Git has no commit."""
    known = (
        ("service", service),
        *(("environment", one) for one in environments),
        ("lane", "" if lane is LaneKind.NORMAL else lane.value),
        ("commit", commit_of(source) if source else ""),
    )
    return tuple(f"{what}:{value}" for what, value in known if value)


def tags_with(there: Iterable[str], new: Iterable[str]) -> list[str]:
    """New ones first; they take the place of those of their kind. A subflow is given all tags of its parent: a rollout to
    production those of staging, too."""
    told = list(new)
    kinds = {_kind(one) for one in told}
    return list(dict.fromkeys([*told, *(one for one in there if _kind(one) not in kinds)]))


def _kind(tag: str) -> str:
    """All of it where it is a plain word."""
    kind, colon, _ = tag.partition(":")
    return f"{kind}{colon}"


def commit_of(source: Source) -> str:
    """As people write it; of a tree with changes that are not committed, it says so, as `git describe` does."""
    dirty = "-dirty" if source.dirty else ""
    return f"{source.commit[:SHORT]}{dirty}" if source.commit else ""


def run_link(words: str, run: str) -> str:
    """A Markdown link to a run's page; only the words where nobody knows the run. Without a host: people reach the same
    server by other names than workers do, by a tunnel or a proxy."""
    return f"[{text(words)}]({run_path(run)})" if run else text(words)


def run_path(run: str) -> str:
    """A run's page, as the server serves it."""
    return f"/v2/runs/flow-run/{run}"
