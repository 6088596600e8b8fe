"""The few things of an environment that neither its instances nor Envoy can show, in files; and where its files are."""

import contextlib
import json
import os
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tasks.model import Artifact, Environment, Group

LAST_LINES: Final = 5
LOGS_KEPT: Final = 50


@dataclass(frozen=True)
class Place:
    """The folders of one environment, and the marks by which its processes are found."""

    home: Path
    environment: Environment

    @property
    def folder(self) -> Path:
        return self.home / "environments" / self.environment.key

    @property
    def marks(self) -> dict[str, str]:
        return {"BAKEWELL_HOME": str(self.home), "BAKEWELL_ENVIRONMENT": self.environment.key}

    def log(self, instance: str) -> Path:
        return self.folder / "logs" / f"{instance}.log"

    def scratch(self, instance: str) -> Path:
        """The only folder an instance may write to; it goes with the instance."""
        return self.folder / "scratch" / instance


def put_text(path: Path, text: str) -> None:
    """Whole or not at all, and still there after the machine lost its power."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    with beside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def listen_port(place: Place, free_port: Callable[[], int]) -> int:
    """Configured, or chosen once and kept: users know it."""
    if place.environment.listen_port:
        return place.environment.listen_port
    path = place.folder / "listen-port"
    if path.exists() and (text := path.read_text().strip()).isdigit():
        return int(text)
    put_text(path, str(port := free_port()))
    return port


# ---- groups --------------------------------------------------------------------------------------


def remember(place: Place, group: Group) -> None:
    """A group is there although its last instance ended: somebody has to see that, and start another."""
    put_text(_note(place, group.name), json.dumps(asdict(group.artifact)))


def remembered(place: Place) -> dict[str, Artifact]:
    found = {}
    for path in (place.folder / "groups").glob("*.json"):
        with contextlib.suppress(OSError, ValueError, TypeError):
            found[path.stem] = Artifact(**json.loads(path.read_text()))
    return found


def forget(place: Place, group: str) -> None:
    _note(place, group).unlink(missing_ok=True)


def _note(place: Place, group: str) -> Path:
    return place.folder / "groups" / f"{group}.json"


# ---- logs ----------------------------------------------------------------------------------------


def end_of(log: str) -> str:
    """The last lines on one, for an error message."""
    lines = log.splitlines()[-LAST_LINES:]
    return " / ".join(line for line in lines if line.strip()) or "(it is empty)"


def keep_newest(logs: Path, written: AbstractSet[Path]) -> None:
    """Of instances that ended; who runs may have been silent for long, and keeps its log."""
    found = sorted(logs.glob("*.log"), key=_written_at, reverse=True)
    for old in [path for path in found if path not in written][LOGS_KEPT:]:
        old.unlink(missing_ok=True)


def _written_at(path: Path) -> float:
    """0 if somebody else has just removed it."""
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0
