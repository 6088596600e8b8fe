"""Notices: what people are told, and where to. Nouns and the settings of `$BAKEWELL_NOTIFY`. Pure, validated.

Addresses are secrets (a webhook's URL lets anybody post): settings hold references to them only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field

from tasks.settings import Contradiction, Name, Part, Variable


class Level(StrEnum):
    """How much it matters. In this order."""

    INFO = "info"
    WARNING = "warning"
    ALARM = "alarm"

    def reaches(self, least: "Level") -> bool:
        order = list(Level)
        return order.index(self) >= order.index(least)


@dataclass(frozen=True)
class Notice:
    """One message. `key`: what it is about; nothing with the same key is told twice. `sequence`: the journal's newest line that
    it tells. `service` and `release` are empty where it is about none."""

    sequence: int
    key: str
    level: Level
    title: str
    text: str
    service: str = ""
    release: str = ""


class Target(Part):
    """Somebody to tell: an address as the library Apprise writes it (slack://, mailto://, msteams://, pagerduty://, json://)."""

    name: Name = Field(description="what people call it; a new name begins with what is new")
    variable: Variable | None = Field(
        None, description="environment variable that holds the address"
    )
    file: str | None = Field(
        None, min_length=1, description="absolute path of the file that holds it"
    )
    level: Level = Field(Level.INFO, description="the least that it is told")
    services: tuple[Name, ...] = Field(
        (), description="only these, and what is about no single one; none: all"
    )

    def _contradictions(self) -> Iterator[Contradiction]:
        if (self.variable is None) == (self.file is None):
            yield ("variable",), "exactly one of `variable` and `file` says where the address is"


class NotifySettings(Part):
    """The whole of the file that $BAKEWELL_NOTIFY names."""

    targets: tuple[Target, ...] = Field(min_length=1, description="whom to tell")
    ui: str = Field(
        "",
        pattern=r"^(https?://[^/@\s]+(/[^@\s]*)?)?$",
        description="address of the Prefect UI that links lead to; default: the one that this machine knows",
    )

    def _contradictions(self) -> Iterator[Contradiction]:
        names = [one.name for one in self.targets]
        for number, name in enumerate(names):
            if name in names[:number]:
                yield ("targets", number, "name"), f"{name!r} is the name of another target already"
