"""What a rebuild is about: a service that has grown stale, and what became of it. Frozen values, nothing else."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class Stale:
    """A service to rebuild: each reason a sentence; `after` are services that come first, its artifact stands on theirs.

    `release` and `digest`: what it runs now. `batch`: those of a lower one come first, as its policy says. `fixable`: ids of
    what its newest scan found and a newer version mends. `fresh`: nothing but building it anew can bring what it needs.
    """

    service: str
    reasons: tuple[str, ...]
    after: tuple[str, ...] = ()
    release: str = ""
    digest: str = ""
    batch: int = 0
    fixable: tuple[str, ...] = ()
    fresh: bool = False


class Rebuilt(StrEnum):
    """What became of one service."""

    PATCHED = "patched"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    SKIPPED = "skipped"
