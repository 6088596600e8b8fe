"""Commands that do runs of Prefect's in their own process: who they are, so that it is known when one died.

Prefect shows a run whose process died as Running for ever. A worker's runs are held in the journal; a command's runs carry its
tag instead, and so do their sub-flows. A file with that name, written before the first of them is made, says whose tag it is.
"""

import contextlib
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tasks.adapters.fleet_notes import put_text
from tasks.adapters.owner import BOOT_ID, describe, is_gone, parse, this_owner
from tasks.errors import TransientError

FOLDER: Final = "terminals"
MACHINE_ID: Final = Path("/etc/machine-id")


@dataclass(frozen=True)
class Terminal:
    """`tag` is on all of its runs, `api` is where Prefect knows them; `machine` is empty where the system does not tell."""

    tag: str
    owner: str
    machine: str
    api: str

    def __str__(self) -> str:
        return describe(self.owner)


@contextmanager
def terminal(home: Path, api: str) -> Iterator[str]:
    """Of this process; the tag for its runs. The file stays if it ends in any other way than well: a run may be left."""
    tag = f"terminal-{secrets.token_hex(4)}"
    made = Terminal(tag, this_owner("a command"), machine(), api)
    try:
        put_text(_file(home, tag), json.dumps(asdict(made)))
    except OSError as error:
        raise TransientError(
            f"asked to note who does runs in {home / FOLDER}; found {error.strerror}; check the disk"
        ) from error
    yield tag
    forget(home, made)


def dead_terminals(home: Path) -> list[Terminal]:
    """Those of this machine whose process is certainly gone."""
    found = []
    for path in sorted((home / FOLDER).glob("terminal-*.json")):
        with contextlib.suppress(OSError, ValueError, TypeError):
            found.append(Terminal(**json.loads(path.read_text())))
    return [one for one in found if is_gone(one.owner) or _was_rebooted_since(one)]


def forget(home: Path, one: Terminal) -> None:
    _file(home, one.tag).unlink(missing_ok=True)


def machine() -> str:
    """machine-id(5): stays over restarts, and no other machine has it."""
    with contextlib.suppress(OSError):
        return MACHINE_ID.read_text().strip()
    return ""


def _was_rebooted_since(one: Terminal) -> bool:
    owner = parse(one.owner)
    if owner is None or not one.machine or one.machine != machine():
        return False
    with contextlib.suppress(OSError):
        return not owner.boot.startswith(BOOT_ID.read_text().strip())
    return False


def _file(home: Path, tag: str) -> Path:
    return home / FOLDER / f"{tag}.json"
