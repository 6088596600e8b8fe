"""The product as its user has it: the command in a process of its own, one home, one Prefect server."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from ruamel.yaml import YAML

from tests.support.trivy_db import write_database

EXAMPLE = Path(__file__).parents[2] / "deployments" / "services" / "hello"
QUICK = {
    "interval_seconds": 0.3,
    "minimum_requests": 20,
    "batch_seconds": 0.2,
    "warm_up_seconds": 0.0,
    "margin": 0.2,
    "burst": 1.0,
    "watch_seconds": 0.0,
    "minimum_seconds": 1.0,
    "deadline_seconds": 30.0,
}


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Bakewell:
    """`bakewell` with a home of its own."""

    home: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    settings: Mapping[str, str] = field(default_factory=dict)

    def with_settings(self, **settings: str) -> "Bakewell":
        """The same home, with these in the environment of whoever is started from now on."""
        return replace(self, settings={**self.settings, **settings})

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PREFECT_", "BAKEWELL_"))
        }
        ours = {"BAKEWELL_HOME": str(self.home), "NO_COLOR": "1", "COLUMNS": "200"}
        return {**kept, **ours, **self.settings}

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows", *map(str, arguments)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def end_what_a_failed_test_left(self) -> None:
        """A command that nobody waited for would make some other test fail, by its open pipes."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            if process.stdout and not process.stdout.closed:
                process.communicate()

    def __call__(self, *arguments: str | Path, seconds: float = 180) -> Answer:
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            pytest.fail(f"bakewell {arguments} took more than {seconds} s:\n{out}\n{err}")
        return Answer(process.returncode, out, err)

    def processes(self) -> list[psutil.Process]:
        """Everything of this home that runs now: instances, splitters, the Prefect server."""
        mark = str(self.home)
        return [
            one for one in psutil.process_iter() if _environment(one).get("BAKEWELL_HOME") == mark
        ]

    def fresh_database(self) -> None:
        """A real vulnerability database, written now: releases need no download, and none is stale."""
        write_database(self.home / "trivy" / "db", updated_at=datetime.now(UTC))


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return {}


@pytest.fixture(scope="package")
def bakewell() -> Iterator[Bakewell]:
    with home_of_its_own() as found:
        yield found


@contextmanager
def home_of_its_own() -> Iterator[Bakewell]:
    """Nothing of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="bkw-"))
    command = Bakewell(folder)
    command.fresh_database()
    yield command
    command.end_what_a_failed_test_left()
    gone = command("down", "--all")
    assert gone.code == 0, gone.err
    shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Service:
    """A copy of the example service to edit."""

    name: str
    folder: Path

    def version(self, number: int | str, **settings: Any) -> None:
        """Write another version of what is baked."""
        path = self.folder / "settings.json"
        path.write_text(
            json.dumps({**json.loads(path.read_text()), "version": str(number), **settings})
        )

    def edit(self, change: Callable[[Any], None]) -> None:
        """Change service.yaml."""
        path, yaml = self.folder / "service.yaml", YAML()
        spec = yaml.load(path.read_text())
        change(spec)
        yaml.dump(spec, path)


MakeService = Callable[[str], Service]


@pytest.fixture
def make_service(tmp_path: Path) -> MakeService:
    """A copy of `hello` under another name, observed only as long as a test can wait."""

    return lambda name: copy_of_example(tmp_path, name)


def copy_of_example(where: Path, name: str) -> Service:
    folder = where / name
    shutil.copytree(EXAMPLE, folder)
    service = Service(name, folder)

    def quicker(spec: Any) -> None:
        spec["service"] = name
        for place in spec["environments"]:
            place["observe"] = QUICK
            place["warm_seconds"] = 600

    service.edit(quicker)
    service.version(1)
    return service
