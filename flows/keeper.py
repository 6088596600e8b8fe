"""The keeper: does the chores every few seconds, for as long as the installation is up. It needs no Prefect.

Whatever fails in a chore is told, and keeps neither the other chores nor the next round from being done. Killed, it is started
again; what it did is in the journal, and every chore may be done twice.
"""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

from flows import console
from flows.chores import CHORES, PATIENT, do_chores
from flows.story import Tone, tell
from tasks import platforms
from tasks.adapters.parts import beat

ROUND_SECONDS: Final = 5.0
LAST_SECONDS: Final = 45.0
"""What is done beside the others may take so long to end, before the keeper goes all the same."""


def keep(stopped: Callable[[float], bool]) -> None:
    """Round after round. `stopped` waits for so many seconds; True ends it."""
    beside: dict[str, threading.Thread] = {}
    while True:
        beat(platforms.home(), "keeper")
        for name in CHORES:
            if name in PATIENT:
                do_beside(name, beside)
            else:
                do(name)
        if stopped(ROUND_SECONDS):
            break
    end = time.monotonic() + LAST_SECONDS
    for thread in beside.values():
        thread.join(max(0.0, end - time.monotonic()))


def do_beside(name: str, beside: dict[str, threading.Thread]) -> None:
    """In a thread of its own, unless it is still at it. Killed with the process, it may be done again like any other."""
    before = beside.get(name)
    if before is None or not before.is_alive():
        beside[name] = threading.Thread(target=do, args=(name,), name=name, daemon=True)
        beside[name].start()


def do(name: str) -> None:
    """One chore; says what it did. A fault in it is told, not raised."""
    try:
        for line in do_chores([name]):
            tell(line)
    except Exception as error:  # noqa: BLE001  one broken chore may not cost the others
        tell(f"the chore {name} is broken: {type(error).__name__}: {error}", Tone.BAD)


def main() -> None:
    """Until SIGTERM or SIGINT; the round that has begun is finished."""
    told = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        told.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    console.listen()
    keep(told.wait)


if __name__ == "__main__":
    main()
