"""What the journal says of rebuilds: what was found stale, what became of each service, which digests bases had when. Pure."""

from dataclasses import dataclass

from tasks.stale import Rebuilt, Stale


@dataclass(frozen=True)
class RebuildPlanned:
    """Written under EVERY_SERVICE. `rebuild` is its name; `stale` in the order in which it is to be done."""

    rebuild: str
    stale: tuple[Stale, ...]

    def __str__(self) -> str:
        return f"{self.rebuild}: {len(self.stale)} stale services"


@dataclass(frozen=True)
class RebuildDone:
    """Of one service, written under it. `fixed`: identifiers of vulnerabilities that are gone. `note` is a sentence."""

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


@dataclass(frozen=True)
class SeenBase:
    """`place` is repository and tag, `digest` what the tag stood for."""

    place: str
    digest: str


@dataclass(frozen=True)
class BasesSeen:
    """Written under EVERY_SERVICE, of digests not seen before: from then on they grow old enough to be followed."""

    seen: tuple[SeenBase, ...]

    def __str__(self) -> str:
        return "; ".join(f"{one.place} is {one.digest[:19]} now" for one in self.seen)
