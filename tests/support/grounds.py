"""Where the Fleet contract is tried: a platform, an environment on it, and a way to make artifacts for it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tasks.model import Artifact, Environment
from tasks.ports import Fleet


class Behaviour(StrEnum):
    """What instances of an artifact do. A NEVER_READY one starts, says LAST_WORDS in its log, and answers no health check."""

    HEALTHY = "healthy"
    NEVER_READY = "never ready"


LAST_WORDS = "the configuration has no colour"


@dataclass(frozen=True)
class Ground:
    """`make_artifact(version, behaviour)`: another version is another digest. `kill(address)` ends one instance, as a
    broken machine would, and returns when it is gone."""

    fleet: Fleet
    environment: Environment
    make_artifact: Callable[[str, Behaviour], Artifact]
    kill: Callable[[str], None]
