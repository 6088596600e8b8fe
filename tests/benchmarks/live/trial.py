"""One trial: a good version, real users, then another version released by the command, and what the journal says of it."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from ruamel.yaml import YAML

from flows.course import Course, courses, newest
from flows.load import LoadGenerator, LoadSummary
from tasks import platforms
from tasks.adapters.service_file import read_service
from tasks.journal.rules import fold
from tasks.model import Artifact, Environment
from tasks.service import ServiceSpec
from tests.benchmarks.live.recording import Recording, Users, recorded
from tests.benchmarks.live.versions import USUAL, Version

EXAMPLE: Final = Path(__file__).parents[3] / "deployments" / "services" / "hello"
TOO_SLOW_MS: Final = 300.0
MEAN_SECONDS: Final = 0.06
OBJECTIVES: Final = {
    "errors": {"objective": 0.99},
    "latency": {"threshold_ms": TOO_SLOW_MS, "objective": 0.95},
}
PRODUCTION: Final[dict[str, Any]] = {
    "name": "production",
    "platform": "process",
    "replicas": 3,
    "strategy": {"kind": "canary", "weights": [8, 20], "replicas": 1, "baseline": 3},
    "observe": {
        "interval_seconds": 2,
        "batch_seconds": 4,
        "warm_up_seconds": 4,
        "minimum_seconds": 110,  # a step: minute 3 is in the second
        "deadline_seconds": 420,
        "burst": 1,  # justified: hello fails at even distances, never twice in a row
        "watch_seconds": 220,
    },
    "warm_seconds": 600,
}


@dataclass(frozen=True)
class Trial(AbstractContextManager["Trial"]):
    """A service of its own for one version at one rate."""

    version: Version
    rate: float
    home: Path

    @property
    def service(self) -> str:
        return f"{self.version.name}-{self.rate:g}"

    @property
    def folder(self) -> Path:
        return self.home / "services" / self.service

    @property
    def spec(self) -> ServiceSpec:
        return read_service(self.folder)[0]

    @property
    def here(self) -> Environment:
        return self.spec.place(self.spec.environments[-1])

    def __enter__(self) -> Self:
        """Version 1 serves."""
        shutil.copytree(EXAMPLE, self.folder)
        path, yaml = self.folder / "service.yaml", YAML()
        found = yaml.load(path.read_text())
        found["service"], found["objectives"] = self.service, OBJECTIVES
        found["environments"] = [PRODUCTION]
        yaml.dump(found, path)
        self._write("1", USUAL)
        self._bakewell("release", self.folder)
        return self

    def __exit__(self, *error: object) -> None:
        self._bakewell("down", self.service)

    def load(self) -> LoadGenerator:
        """Users, who do not wait for one another."""
        endpoint = platforms.connect("process").fleet.read(self.here).endpoint
        connections = round(2 * MEAN_SECONDS * self.rate) + 12
        return LoadGenerator(endpoint, self.rate, connections, max_seconds=1200)

    def run(self) -> Recording:
        """Release the other version under load, to whatever end."""
        self._write("2", {**USUAL, **self.version.settings})
        with self.load() as load:
            time.sleep(10)
            code = self._bakewell("release", self.folder)
            seen = load.stop()
        events = list(platforms.journal().events(self.service))
        (course,) = newest(courses(events, self.service, "r2"))
        if not course.seen:
            raise SystemExit(f"{self.service}: nothing was observed (exit code {code}): {course}")
        found = recorded(self.version.name, self.rate, course, events)
        return replace(found, users=self._users(seen, course))

    def _users(self, seen: LoadSummary, course: Course) -> Users:
        """Harmed: by the new version, until traffic was back."""
        mine = [one for one in seen.versions if one.version == "2"]
        slow = sum(
            count
            for one in mine
            for bound, count in zip((*one.latency.bounds_ms, 1e9), one.latency.counts, strict=True)
            if bound > TOO_SLOW_MS
        )
        return Users(
            self.rate,
            seen.requests / seen.seconds,
            seen.late / max(seen.requests, 1),
            sum(one.requests for one in mine),
            sum(one.errors for one in mine) + slow,
            seen.failures,
        )

    def _write(self, version: str, settings: dict[str, Any]) -> None:
        path = self.folder / "settings.json"
        path.write_text(json.dumps({"greeting": "Hello", "version": version, **settings}))

    def _bakewell(self, *arguments: str | Path) -> int:
        """Its exit code; 3 if a release was stopped. Anything else is told and ends the benchmark."""
        done = subprocess.run(
            [sys.executable, "-m", "flows", *map(str, arguments)],
            env=os.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, 3):
            raise SystemExit(f"bakewell {arguments}: {done.stdout}\n{done.stderr}")
        return done.returncode


def spec_of_trials() -> ServiceSpec:
    """Objectives and settings, the same for all."""
    found = YAML().load((EXAMPLE / "service.yaml").read_text())
    return ServiceSpec.model_validate(
        {**found, "objectives": OBJECTIVES, "environments": [PRODUCTION]}
    )


def artifact_of(service: str, release: str) -> Artifact:
    """As the journal has it."""
    return fold(platforms.journal().events(service)).releases[service, release].artifact
