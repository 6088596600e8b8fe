"""What an installation says of itself: one file that its supervisor writes, and a lock that only it holds.

`python -m flows.installation` ends with 0 if all parts are well, else with 5: for who asks again and again, as containers do; it
takes a third of what `bakewell up --status` does.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tasks import platforms
from tasks.adapters.file_lock import locked
from tasks.adapters.parts import folder_of
from tasks.errors import RefusedError

LOCK: Final = "up.lock"
STATE: Final = "state.json"


@dataclass(frozen=True)
class PartState:
    """`pid` 0: it does not run. `since`: seconds since the epoch. `note`: its last words, if it ended. `remark`: what somebody
    has to do for it, although it is alive."""

    name: str
    what: str
    pid: int
    since: float
    restarts: int
    healthy: bool
    note: str
    remark: str = ""


@dataclass(frozen=True)
class UpState:
    """`pid` is the supervisor's; `since` in seconds since the epoch; `ui`: where a person looks."""

    pid: int
    since: float
    api: str
    ui: str
    healthy: bool
    parts: tuple[PartState, ...]


@contextmanager
def the_only_one(home: Path) -> Iterator[None]:
    """Hold the lock; the kernel frees that of a killed process. RefusedError if another holds it."""
    try:
        with locked(folder_of(home) / LOCK, 0.0):
            yield
    except TimeoutError as error:
        found = state_of(home)
        raise RefusedError(
            f"asked to bring Bakewell up in {home}; process {found.pid if found else '?'} has done so already;"
            " `bakewell up --status` shows it, `bakewell down --all` ends it"
        ) from error


def is_up(home: Path) -> bool:
    """Is there a supervisor? Asks the kernel, not the file."""
    if not (home / "up" / LOCK).exists():
        return False
    try:
        with locked(home / "up" / LOCK, 0.0):
            return False
    except TimeoutError:
        return True


def remember_state(home: Path, state: UpState) -> None:
    text, file = json.dumps(asdict(state)), folder_of(home) / STATE
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(file)


def forget_state(home: Path) -> None:
    """It was taken down: nothing of it should be up any more."""
    (home / "up" / STATE).unlink(missing_ok=True)


def state_of(home: Path) -> UpState | None:
    """As it was last written; None if never, if it was taken down since, or by another version."""
    try:
        found = json.loads((home / "up" / STATE).read_text())
        parts = tuple(PartState(**one) for one in found.pop("parts"))
        return UpState(**found, parts=parts)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def main() -> int:
    home = platforms.home()
    state = state_of(home)
    return 0 if is_up(home) and state is not None and state.healthy else 5


if __name__ == "__main__":
    sys.exit(main())
