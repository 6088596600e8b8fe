"""The nouns of drift: what an inspector saw of one environment, and what of it should not be so. Frozen values, nothing else.

What could not be looked at is a value of its own, with a reason: it is never "as it should be".
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import JsonValue

# ---- what is seen --------------------------------------------------------------------------------


class Aspect(StrEnum):
    """What an inspector looks at, if its platform can show it."""

    SETTINGS = "the settings of its instances"
    IMAGES = "the images that its instances run"
    FILES = "the files of its instances"
    DEEDS = "what people did to its instances"
    NETWORK = "who else is in its network"
    SPLITTER = "its splitter"
    EVIDENCE = "whether its artifacts may run"


@dataclass(frozen=True)
class NotLooked:
    """An aspect that could not be seen, of one instance or (empty) of all."""

    aspect: Aspect
    reason: str
    instance: str = ""


class Condition(StrEnum):
    """Of an instance as its platform keeps it, whatever it answers."""

    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"


@dataclass(frozen=True)
class ChangedSetting:
    """A setting that must not change while an instance lives. None: there was, or there is, none."""

    name: str
    was: JsonValue
    now: JsonValue


class FileChange(StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    DELETED = "deleted"


@dataclass(frozen=True, order=True)
class ChangedFile:
    path: str
    change: FileChange


@dataclass(frozen=True)
class InstanceSeen:
    """One instance. `since`: when it came into its condition; `detail`: how it ended.

    `digest`: what it says it runs (empty: nothing); `other_image`: what it runs if that is something else. `called`: the
    name it has now, if somebody gave it another. `restarted_at`: when it was started again, if it was. `forged`: why it
    cannot have been started by us.
    """

    name: str
    group: str
    condition: Condition = Condition.RUNNING
    since: datetime | None = None
    detail: str = ""
    settings: tuple[ChangedSetting, ...] = ()
    files: tuple[ChangedFile, ...] = ()
    digest: str = ""
    other_image: str = ""
    called: str = ""
    restarted_at: datetime | None = None
    forged: str = ""


class DeedKind(StrEnum):
    """What was done to an instance past us."""

    EXECUTED = "a command was run in it"
    COPIED = "files were copied into it"
    UPDATED = "its limits were changed"
    RENAMED = "it was renamed"
    PAUSED = "it was paused"
    SIGNALLED = "it was sent a signal"
    STOPPED = "it was stopped"
    RESTARTED = "it was started again"
    CONNECTED = "it was connected to a network"
    DISCONNECTED = "it was disconnected from a network"
    REMOVED = "it was removed"


@dataclass(frozen=True)
class Deed:
    """One of them. `words`: the command, the signal, …; `who` is empty where the platform does not tell."""

    at: datetime
    kind: DeedKind
    instance: str
    group: str
    words: str = ""
    who: str = ""


@dataclass(frozen=True)
class Stranger:
    """Somebody in the environment's network who is not of it. `way_out`: the command that takes it out."""

    name: str
    what: str
    since: datetime | None
    way_out: str


@dataclass(frozen=True, order=True)
class Route:
    """Where the splitter sends requests of a group."""

    group: str
    instance: str
    address: str


@dataclass(frozen=True)
class SplitterSeen:
    """The splitter as it is. `foreign_files`: files of its configuration that hold what we did not write."""

    runs: bool
    routes: tuple[Route, ...] = ()
    foreign_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inspection:
    """One look. `deeds_known_from`: what was done before is not known any more; None: deeds were not looked at.

    `deeds` are of instances that are there, and of ones that were removed. `splitter` is None if it was not looked at.
    """

    at: datetime
    instances: tuple[InstanceSeen, ...] = ()
    deeds: tuple[Deed, ...] = ()
    deeds_known_from: datetime | None = None
    strangers: tuple[Stranger, ...] = ()
    splitter: SplitterSeen | None = None
    not_looked: tuple[NotLooked, ...] = ()


# ---- what should not be so -----------------------------------------------------------------------


class DriftKind(StrEnum):
    """What differs. The words go before a colon and what was found."""

    UNFINISHED = "a rollout was left unfinished"
    MISSING = "instances are missing"
    UNWELL = "an instance does not serve"
    ENDED = "an instance ended"
    PAUSED = "an instance is paused"
    SURPLUS = "more instances than wanted"
    NOT_WANTED = "a group runs that should not"
    WRONG_ARTIFACT = "another artifact runs"
    WEIGHTS = "traffic is split differently"
    ROUTES = "requests go where they should not"
    SPLITTER_FILES = "the splitter's configuration was changed"
    SPLITTER_GONE = "the splitter does not run"
    SETTINGS = "settings were changed"
    FILES = "files were changed"
    IMAGE = "another image runs"
    FORGED = "it was not started by Bakewell"
    RENAMED = "an instance was renamed"
    RESTARTED = "an instance was started again"
    TOUCHED = "somebody was at an instance"
    FOREIGN = "somebody else is in the network"
    QUARANTINED = "it is quarantined"
    NOT_ADMITTED = "it may not start today"


class Cure(StrEnum):
    """What takes it away."""

    CONVERGE = "bringing the fleet to its spec"
    REPLACE = "replacing the instance"
    REROUTE = "writing the splitter's configuration anew"
    GO_BACK = "rolling back to what may run"
    PERSON = "a person"


@dataclass(frozen=True)
class Drift:
    """One difference. `what` tells it from others of its kind in the same group, whichever instance it is in (`Memory`,
    a command, a file): what comes back after it was healed has the same `cause`.

    `since` and `who` are None and empty where nobody knows. `advice`: what a person can do, empty if `--heal` does it.
    """

    kind: DriftKind
    group: str
    instance: str
    what: str
    found: str
    should: str
    cure: Cure
    since: datetime | None = None
    who: str = ""
    advice: str = ""

    @property
    def cause(self) -> str:
        """The same thing in the same place."""
        return f"{self.kind.name}/{self.group}/{self.what}"

    @property
    def key(self) -> tuple[str, ...]:
        """Two looks that find the same find these; moments may differ."""
        return (self.kind.name, self.group, self.instance, self.what, self.found)
