"""The few things of an environment that neither its processes nor Envoy can show, in files."""

import contextlib
import json
import os
from dataclasses import asdict
from pathlib import Path

from tasks.adapters import process_instances
from tasks.adapters.process_instances import Place
from tasks.model import Artifact, Group


def put_text(path: Path, text: str) -> None:
    """Whole or not at all, and still there after the machine lost its power."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    with beside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def listen_port(place: Place) -> int:
    """Configured, or chosen once and kept: users know it."""
    if place.environment.listen_port:
        return place.environment.listen_port
    path = place.folder / "listen-port"
    if path.exists() and (text := path.read_text().strip()).isdigit():
        return int(text)
    port = process_instances.free_port({one.address for one in process_instances.instances(place)})
    put_text(path, str(port))
    return port


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
