"""How this machine reaches what an engine runs, and what the engine can do: asked once for each engine.

A local engine's containers are reached at their own addresses: this machine's kernel routes to them. Of any other engine
the containers are in a network that is not ours (another machine's, a virtual machine's, a user's own namespace): their
port is published on the engine's machine.
"""

import socket
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address
from typing import Any, Final

from tasks.adapters.docker_engine import Engine, translated
from tasks.errors import TransientError

LOOPBACK: Final = "127.0.0.1"
EVERYWHERE: Final = ""
CLOCK_STEP_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Reach:
    """`publish_on`: where containers' ports are published, None if they are not. `host`: the IP address at which published
    ports are reached. `limits_swap`: whether the engine can."""

    publish_on: str | None
    host: str
    limits_swap: bool


@cache
def reach(engine: Engine) -> Reach:
    """TransientError if the engine does not answer, or its machine has no address."""
    info = _info(engine)
    swap = bool(info.get("SwapLimit"))
    if engine.machine:
        host = _ip_of(engine.machine)
        return Reach(LOOPBACK if ip_address(host).is_loopback else EVERYWHERE, host, swap)
    rootless = any("rootless" in one for one in info.get("SecurityOptions") or ())
    routed = sys.platform == "linux" and not rootless
    return Reach(None if routed else LOOPBACK, LOOPBACK, swap)


def ahead_seconds(engine: Engine) -> float:
    """By how much the engine's clock is ahead of ours. 0 for a local engine, and within 5 s: then what it says of a time is
    the same each time it is read."""
    if not engine.machine:
        return 0.0
    theirs = datetime.fromisoformat(_info(engine)["SystemTime"])
    ahead = (theirs - datetime.now(UTC)).total_seconds()
    return CLOCK_STEP_SECONDS * round(ahead / CLOCK_STEP_SECONDS)


def _info(engine: Engine) -> dict[str, Any]:
    with translated("the Docker engine what it is"):
        found: dict[str, Any] = engine.client.api.info()
    return found


def _ip_of(machine: str) -> str:
    """Envoy is told addresses, not names."""
    try:
        found = socket.getaddrinfo(machine, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise TransientError(
            f"asked for the address of the Docker engine's machine, {machine}; found none: {error.strerror}; check"
            " DOCKER_HOST and the names that this machine knows"
        ) from error
    return str(found[0][4][0])
