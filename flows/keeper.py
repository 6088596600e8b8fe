"""The keeper: does the chores every few seconds, for as long as the installation is up. It needs no Prefect.

Whatever fails in a chore is told, and keeps neither the other chores nor the next round from being done. Killed, it is started
again; what it did is in the journal, and every chore may be done twice.
"""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final

from flows import console
from flows.chores import CHORES, PATIENT, do_chore, failed
from flows.configured import broken_settings
from flows.story import Tone, tell
from tasks import platforms
from tasks.adapters.parts import beat, remark
from tasks.errors import BakewellError, CorruptError, InvalidInputError

ROUND_SECONDS: Final = 5.0
LAST_SECONDS: Final = 45.0
"""What is done beside the others may take so long to end, before the keeper goes all the same."""
STAYS: Final = (InvalidInputError, CorruptError)
"""Faults that do not pass by themselves: somebody has to do something."""


def keep(stopped: Callable[[float], bool]) -> None:
    """Round after round. `stopped` waits for so many seconds; True ends it."""
    beside: dict[str, threading.Thread] = {}
    troubles: dict[str, str] = {}
    while True:
        beat(platforms.home(), "keeper")
        for name in CHORES:
            if name in PATIENT:
                do_beside(name, beside, troubles)
            else:
                troubles[name] = do(name)
        told = [trouble for trouble in list(troubles.values()) if trouble]
        remark(platforms.home(), "keeper", remarks(told, list(broken_settings())))
        if stopped(ROUND_SECONDS):
            break
    end = time.monotonic() + LAST_SECONDS
    for thread in beside.values():
        thread.join(max(0.0, end - time.monotonic()))


def do_beside(name: str, beside: dict[str, threading.Thread], troubles: dict[str, str]) -> None:
    """In a thread of its own, unless it is still at it. Killed with the process, it may be done again like any other."""

    def noted() -> None:
        troubles[name] = do(name)

    before = beside.get(name)
    if before is None or not before.is_alive():
        beside[name] = threading.Thread(target=noted, name=name, daemon=True)
        beside[name].start()


def do(name: str) -> str:
    """One chore; says what it did. A fault in it is told, not raised: what will not pass by itself is the answer, else empty."""
    try:
        for line in do_chore(name):
            tell(line)
    except BakewellError as error:
        words = failed(name, error)
        tell(f"{words}; the next round tries again", Tone.WARN)
        return words if isinstance(error, STAYS) else ""
    except Exception as error:  # noqa: BLE001  one broken chore may not cost the others
        words = f"the chore {name} is broken: {type(error).__name__}: {error}"
        tell(words, Tone.BAD)
        return words
    return ""


def remarks(troubles: Sequence[str], settings: Sequence[str]) -> str:
    """In a line, each once: a chore may have failed because of a setting. Pure."""
    others = [one for one in settings if not any(one in trouble for trouble in troubles)]
    return "; ".join((*troubles, *others))


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
