"""One instance of the process platform: what is run for an image, and how a running one is recognised.

Everything it needs to be recognised is in its environment, so the process table is all there is to ask.
"""

import os
import random
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tasks.adapters import fleet_notes, image_labels, process_table
from tasks.adapters.fleet_notes import Place
from tasks.adapters.process_table import Running
from tasks.errors import RefusedError
from tasks.model import Artifact, Group

PORTS: Final = range(
    20_000, 32_768
)  # below the ports that the kernel gives to connections going out
HOST_PATH: Final = (str(Path(sys.base_prefix) / "bin"), "/usr/local/bin", "/usr/bin", "/bin")


@dataclass(frozen=True)
class Started:
    """A process of ours that serves, or is about to."""

    running: Running
    group: str
    name: str
    artifact: Artifact
    address: str
    health: str
    grace_seconds: float
    alive: bool = True  # the process table knows no others

    @property
    def started_at(self) -> datetime:
        return self.running.started_at


def instances(place: Place) -> list[Started]:
    """All that run in this environment, oldest first.

    What an instance starts in a session of its own has its marks, too; the instance is the one that was there first.
    """
    found = (_recognised(running) for running in process_table.find(place.marks))
    named: dict[str, Started] = {}
    for one in found:
        if one:
            named.setdefault(one.name, one)
    return list(named.values())


def _recognised(running: Running) -> Started | None:
    marks = running.marks
    if "BAKEWELL_INSTANCE" not in marks or "PORT" not in marks:
        return None
    return Started(
        running,
        marks["BAKEWELL_GROUP"],
        marks["BAKEWELL_INSTANCE"],
        Artifact(marks["BAKEWELL_SERVICE"], marks["BAKEWELL_DIGEST"], marks["BAKEWELL_REPOSITORY"]),
        f"127.0.0.1:{marks['PORT']}",
        marks["BAKEWELL_HEALTH"],
        float(marks["BAKEWELL_GRACE_SECONDS"]),
    )


def start(place: Place, group: Group, tree: Path, config: Mapping[str, Any]) -> str:
    """Start one more instance of the group from its unpacked image; its name."""
    name = f"{group.name}-{secrets.token_hex(3)}"
    run: Mapping[str, Any] = config.get("config") or {}
    labels: Mapping[str, str] = run.get("Labels") or {}
    grace_seconds = image_labels.grace_seconds(labels, group.artifact)
    there = instances(place)
    scratch, log = place.scratch(name), place.log(name)
    try:
        scratch.mkdir(parents=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        fleet_notes.keep_newest(log.parent, {place.log(one.name) for one in there})
    except OSError as error:
        raise RefusedError(
            f"asked to start an instance of {group.name}; {scratch} cannot be made: {error.strerror}; check the disk"
        ) from error
    environment = {
        **_environment(run.get("Env") or [], tree, scratch),
        **place.marks,
        "BAKEWELL_SERVICE": group.artifact.service,
        "BAKEWELL_GROUP": group.name,
        "BAKEWELL_INSTANCE": name,
        "BAKEWELL_DIGEST": group.artifact.digest,
        "BAKEWELL_REPOSITORY": group.artifact.repository,
        "BAKEWELL_HEALTH": image_labels.health_path(labels),
        "BAKEWELL_GRACE_SECONDS": str(grace_seconds),
        "PORT": str(free_port({one.address for one in there})),
    }
    command = [
        _mapped(word, tree) for word in (*(run.get("Entrypoint") or ()), *(run.get("Cmd") or ()))
    ]
    if not command:
        raise RefusedError(f"asked to run {group.artifact.reference}; the image names no command")
    folder = _in_tree(run.get("WorkingDir") or "/", tree)
    process_table.launch(command, environment, folder if folder.is_dir() else tree, log)
    return name


def stop(place: Place, one: Started) -> bool:
    """SIGTERM, its grace period, SIGKILL, to everything that has its marks; its scratch folder is removed. Whether it had to
    be killed."""
    end = time.monotonic() + one.grace_seconds
    killed = process_table.stop(one.running, one.grace_seconds)
    for left in process_table.find({**place.marks, "BAKEWELL_INSTANCE": one.name}):
        process_table.stop(left, max(0.0, end - time.monotonic()))
    shutil.rmtree(place.scratch(one.name), ignore_errors=True)
    return killed


def last_words(place: Place, instance: str) -> str:
    """The end of its log on one line, for an error message."""
    try:
        return fleet_notes.end_of(place.log(instance).read_text(errors="replace"))
    except OSError:
        return "(no log was written)"


def free_port(not_these: AbstractSet[str] = frozenset()) -> int:
    """One that nobody listens on, that no instance was promised, and that no connection going out may take."""
    for port in random.sample(PORTS, 200):
        if f"127.0.0.1:{port}" not in not_these and _is_free(port):
            return port
    raise RefusedError(f"asked for a free port from {PORTS.start} to {PORTS.stop - 1}; found none")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _environment(given: list[str], tree: Path, scratch: Path) -> dict[str, str]:
    """What the image says and what every process needs; nothing of ours, which may hold secrets."""
    image = dict(pair.partition("=")[::2] for pair in given)
    mapped = {name: _mapped_list(value, tree) for name, value in image.items()}
    inside = [part for part in _mapped_list(image.get("PATH", ""), tree).split(":") if part]
    path = [part for part in inside if Path(part).is_relative_to(tree)]
    return {
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SPT_NOENV": "1",  # setproctitle would write over the environment, and so over our marks
        **mapped,
        "PATH": os.pathsep.join([*path, *HOST_PATH]),
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
    }


def _mapped_list(value: str, tree: Path) -> str:
    return ":".join(_mapped(part, tree) for part in value.split(":"))


def _mapped(word: str, tree: Path) -> str:
    """A path in the image is one in its tree; `--option=/path` too. What the image does not have stays as it is."""
    option, equals, path = word.rpartition("=")
    if path.startswith("/") and not path.startswith("//") and os.path.normpath(path) != "/":
        inside = _in_tree(path, tree)
        return f"{option}{equals}{inside}" if inside.exists() else word
    return word


def _in_tree(path: str, tree: Path) -> Path:
    """The root of the image is its tree: nothing is above it."""
    return tree / os.path.normpath(f"/{path}").lstrip("/")
