"""Stopping: an installation goes in an order in which nobody loses anything, whoever of it is still alive.

First what brings work, then what does it: a worker lets its flows withdraw what they began. Then runs that lost their worker,
then the keeper, who could finish what they left. Prefect's server comes last, for all of them tell it how they ended.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flows.installation import forget_state, is_up, state_of
from flows.parts import Part, Settings, parts_for
from tasks.adapters.parts import ENGINE, PartProcess, parts_of, stop_part, wait_gone
from tasks.adapters.prefect_server import LocalPrefectServer
from tasks.errors import TransientError

SUPERVISOR_SECONDS: Final = 240.0
ENGINE_SECONDS: Final = 45.0
HURRIED_SECONDS: Final = 10.0
NEVER: Final = threading.Event()


def stop_installation(home: Path, gently: bool = False) -> Iterator[str]:
    """All of it but services and their users. `gently`: runs that go on finish first, however long that takes.

    TransientError if the supervisor does not go.
    """
    if is_up(home) and (state := state_of(home)) is not None:
        yield f"stopping what `bakewell up` (process {state.pid}) keeps alive"
        _ask_supervisor(home, state.pid, gently)
    yield from stop_parts(home, gently, NEVER)


def _ask_supervisor(home: Path, pid: int, gently: bool) -> None:
    os.kill(pid, signal.SIGUSR1 if gently else signal.SIGTERM)
    until = time.monotonic() + (float("inf") if gently else SUPERVISOR_SECONDS)
    while is_up(home):
        if time.monotonic() > until:
            raise TransientError(
                f"asked process {pid} to stop everything it started; after {SUPERVISOR_SECONDS:.0f} s it still runs;"
                " kill it, then ask again"
            )
        time.sleep(0.1)


def stop_parts(home: Path, gently: bool, hurry: threading.Event) -> Iterator[str]:
    """Whatever carries the home's mark, the server last. `hurry` ends all patience with runs."""
    found = list(parts_of(home))
    table = {part.name: part for part in parts_for(Settings(1, 0))}
    for name in ("receiver", "deployments", "worker", ENGINE, "keeper"):
        for one in [one for one in found if one.part == name]:
            yield from _stop(one, table.get(name), gently, hurry)
    forget_state(home)
    if LocalPrefectServer(home).stop():
        yield "the local Prefect server was stopped"


def _stop(
    one: PartProcess, part: Part | None, gently: bool, hurry: threading.Event
) -> Iterator[str]:
    """Asks, waits as long as it may take, and kills what did not go."""
    if not one.is_alive():
        return
    patient = gently and one.part in ("worker", ENGINE)
    if not patient or one.part == "worker":
        one.signal(signal.SIGUSR1 if patient else signal.SIGTERM)
    grace = part.grace_seconds if part else ENGINE_SECONDS
    until = time.monotonic() + (float("inf") if patient else grace)
    hurried = False
    while one.is_alive() and time.monotonic() < until:
        wait_gone([one], 0.2)
        if hurry.is_set() and not hurried:
            hurried, until = True, time.monotonic() + HURRIED_SECONDS
            one.signal(signal.SIGTERM)
    went = stop_part(one, 0.0) if one.is_alive() else True
    yield f"the {one.part} (process {one.pid}) {'stopped' if went else 'had to be killed'}"
