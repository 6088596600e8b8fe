"""What the journal says of rebuilds: what was found stale, and what became of each service. Pure."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class Stale:
    """A service to rebuild: each reason a sentence; `after` are services whose artifacts it stands on."""

    service: str
    reasons: tuple[str, ...]
    after: tuple[str, ...] = ()


class Rebuilt(StrEnum):
    """What became of one service."""

    PATCHED = "patched"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class RebuildPlanned:
    """Written under EVERY_SERVICE. `rebuild` is its name; `stale` in the order in which it is to be done."""

    rebuild: str
    stale: tuple[Stale, ...]

    def __str__(self) -> str:
        return f"{self.rebuild}: {len(self.stale)} stale services"


@dataclass(frozen=True)
class RebuildDone:
    """Of one service. `fixed`: identifiers of vulnerabilities that are gone. `note` is a sentence."""

    rebuild: str
    outcome: Rebuilt
    note: str
    release: str = ""
    fixed: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.rebuild}: {self.outcome.value}: {self.note}"


@dataclass(frozen=True)
class RebuildFinished:
    """Written under EVERY_SERVICE. `summary` is a sentence."""

    rebuild: str
    summary: str

    def __str__(self) -> str:
        return f"{self.rebuild} finished: {self.summary}"
