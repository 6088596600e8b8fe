"""What an installation consists of besides Prefect's server: one line for each process that `bakewell up` keeps alive."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from tasks.adapters.server_process import LOOPBACK

POOL: Final = "bakewell"
"""The work pool of this house's workers, whose engines hold their runs in the journal."""
RECEIVER_PORT: Final = "BAKEWELL_RECEIVER_PORT"


@dataclass(frozen=True)
class Part:
    """`health`: URL that answers while it lives; empty: it touches its file. `patience_seconds`: how long it may be silent.

    `grace_seconds`: how long it may take to stop. `once`: it has one thing to do, and ends.
    """

    name: str
    command: tuple[str, ...]
    what: str
    health: str = ""
    patience_seconds: float = 60.0
    grace_seconds: float = 10.0
    once: bool = False


@dataclass(frozen=True)
class Settings:
    """`runs_at_once`: of this machine's worker; 0: none, it only serves. `receiver_port`: where pushes are received."""

    runs_at_once: int
    receiver_port: int


def parts_for(settings: Settings) -> tuple[Part, ...]:
    """In the order in which they stop: first what brings work, last what keeps users safe."""
    receiver = Part(
        "receiver",
        ("-m", "flows.receiving"),
        "takes pushes",
        health=f"http://{LOOPBACK}:{settings.receiver_port}/health",
    )
    worker = Part(
        "worker",
        ("-m", "flows.worker", POOL, str(settings.runs_at_once)),
        "does the runs",
        patience_seconds=120.0,  # without an API it asks less and less often, up to once a minute
        grace_seconds=75.0,
    )
    deployments = Part(
        "deployments", ("-m", "flows.deploying"), "writes prefect.yaml to the server", once=True
    )
    keeper = Part(
        "keeper",
        ("-m", "flows.keeper"),
        "does the chores",
        patience_seconds=300.0,  # a chore may bring a large fleet back
        grace_seconds=60.0,
    )
    found = (receiver, worker, deployments, keeper)
    left_out = {
        "receiver": find_spec("flows.receiving") is None,
        "worker": settings.runs_at_once < 1,
    }
    return tuple(part for part in found if not left_out.get(part.name))
