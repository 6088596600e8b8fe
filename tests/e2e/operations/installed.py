"""An installation that is up, and what a test asks it: by the journal and Prefect's API, without a new process each time."""

import json
import os
import signal
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import JsonValue

from tasks import platforms
from tasks.adapters import process_table
from tasks.adapters.journal import SqlJournal
from tasks.adapters.owner import parse
from tasks.adapters.parts import PartProcess, parts_of
from tasks.adapters.prefect_api import FlowRun, PrefectApi
from tasks.adapters.process import ProcessFleet
from tasks.errors import TransientError
from tasks.journal.rules import EnvironmentState, fold
from tests.e2e.conftest import Bakewell, Service
from tests.support.engines import wait_for

PLACE = "production"
T = TypeVar("T")


@dataclass(frozen=True)
class Installation:
    bakewell: Bakewell
    api: PrefectApi

    @property
    def home(self) -> Path:
        return self.bakewell.home

    @property
    def journal(self) -> SqlJournal:
        return SqlJournal(f"sqlite:///{self.home / 'journal.db'}")

    def part(self, name: str) -> PartProcess:
        """The living process of that part."""
        (found,) = [one for one in parts_of(self.home) if one.part == name]
        return found

    def run(self, run: str) -> FlowRun:
        return asked_again(lambda: self.api.run(run))

    def release(self, service: Service) -> FlowRun:
        """As the receiver does it: by a run of the deployment."""
        request: dict[str, JsonValue] = {"request": {"folder": str(service.folder)}}
        key = uuid.uuid4().hex
        return asked_again(lambda: self.api.create_run("release/release", request, key=key))

    def ended(self, run: FlowRun, seconds: float = 120.0) -> str:
        """Its last state's name, when it has one."""
        wait_for(lambda: self.run(run.id).has_ended, seconds, f"the end of {run.name}", 0.3)
        return self.run(run.id).state_name

    def state(self, service: Service) -> EnvironmentState | None:
        found = fold(self.journal.events(service.name)).environments
        return found.get((service.name, PLACE))

    def canary_is_served(self, service: Service) -> bool:
        """Is a rollout at its first step, with instances that are ready?"""
        state = self.state(service)
        if state is None or state.rollout is None or state.stable is None:
            return False
        return bool(self._weights(state).get(state.rollout.release))

    def _weights(self, state: EnvironmentState) -> dict[str, int]:
        found = ProcessFleet(self.home, platforms.store).read(state.environment)
        return {one.name: one.weight for one in found.groups}

    def endpoint(self, service: Service) -> str:
        """Where its users are."""
        state = self.state(service)
        assert state is not None
        return ProcessFleet(self.home, platforms.store).read(state.environment).endpoint

    def serving(self, service: Service) -> list[int]:
        """Pids of its instances and of its splitter."""
        marks = {
            "BAKEWELL_HOME": str(self.home),
            "BAKEWELL_ENVIRONMENT": f"{service.name}-{PLACE}",
        }
        return [one.pid for one in process_table.find(marks)]

    def doer(self, service: Service) -> int:
        """Pid of the process that holds the environment."""
        lease = self.journal.holder(service.name, PLACE)
        owner = parse(lease.owner) if lease else None
        assert owner is not None, "nobody holds it"
        return owner.pid

    def safe_again(self, service: Service) -> bool:
        """All traffic is on what was stable, and nothing of a rollout is left."""
        state = self.state(service)
        if state is None or state.rollout is not None or state.stable is None:
            return False
        return self._weights(state) == {state.stable.release: 100}


def asked_again(ask: Callable[[], T], seconds: float = 30.0) -> T:
    """On SQLite Prefect answers 503 now and then, while much goes on; its own client asks again, too."""
    until = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except TransientError:
            if time.monotonic() > until:
                raise
            time.sleep(0.3)


def only_production(spec: Any) -> None:
    """One environment, whose canary is looked at for minutes: nobody sends it requests."""
    (place,) = [place for place in spec["environments"] if place["name"] == PLACE]
    place["strategy"] = {"kind": "canary", "weights": [30], "replicas": 1, "baseline": 0}
    place["observe"] = {**place["observe"], "deadline_seconds": 600.0}
    place["warm_seconds"] = 0
    spec["environments"] = [place]


def withdrawn_at(installation: Installation, service: Service) -> float | None:
    """When the newest withdrawal was journalled: seconds since the epoch."""
    events = installation.journal.events(service.name)
    found = [event.at.timestamp() for event in events if event.kind == "withdrawn"]
    return found[-1] if found else None


def kill(*pids: int) -> float:
    """SIGKILL: no handler, hook or `finally` runs. When it was."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return time.time()


def up(bakewell: Bakewell, *arguments: str) -> Installation:
    answer = bakewell("up", "--detach", "--json", *arguments, seconds=280)
    assert answer.code == 0, answer.out + answer.err
    return Installation(bakewell, PrefectApi(json.loads(answer.out)["api"]))
