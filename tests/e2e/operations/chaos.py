"""A compressed day of a team's installation, with something killed at a random moment of each release.

`python -m tests.benchmarks.operations.chaos` plays as many rounds as one likes; `test_chaos.py` a few of them in CI.
"""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import psutil
from pydantic import JsonValue

from flows.admission import admit
from flows.installation import state_of
from flows.load import LoadGenerator, LoadSummary
from flows.policies import todays_policy
from flows.status import EnvironmentReport, statuses
from tasks import platforms
from tasks.adapters.parts import ENGINE, parts_of
from tasks.adapters.prefect_api import FlowRun, PrefectApi
from tasks.adapters.prefect_server import LocalPrefectServer
from tasks.errors import BakewellError
from tasks.journal.rules import fold, verify_chain
from tasks.model import Admission
from tests.e2e.conftest import Bakewell, Service

SAFE_SECONDS: Final = 60.0
"""So soon after a kill (and after the next `bakewell up`, where one was needed) no canary may be left that nobody observes, and
users are served. Without a person."""
QUIET_SECONDS: Final = 240.0
"""So soon everything is as it should be, and every run has ended."""
LONGEST_SECONDS: Final = 16.0
"""From a push to the kill: a release without faults takes about as long."""
RATE: Final = 30.0


class Victim(StrEnum):
    """Whom to kill. Several die at once where a machine would take them all."""

    ENGINE = "the process of the flow"
    WORKER = "worker"
    WORKER_AND_ENGINE = "worker and flow"
    SERVER = "Prefect server"
    KEEPER = "keeper"
    ENVOY = "Envoy"
    SUPERVISOR = "supervisor"
    EVERYTHING = "everything but what serves"


@dataclass(frozen=True)
class Guest:
    """A service of this installation, and the users who ask for it."""

    service: Service
    load: LoadGenerator

    @property
    def name(self) -> str:
        return self.service.name


@dataclass(frozen=True)
class Kill:
    """`processes` died of it. `in_flight`: instances of a rollout were there."""

    seed: int
    service: str
    victim: Victim
    processes: int
    in_flight: bool

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.victim.value} killed ({self.processes} processes) while {self.service} was"
            f" {'rolled out' if self.in_flight else 'released'}"
        )


@dataclass(frozen=True)
class Round:
    """One kill, and what became of it. Counts are of users' requests since the round before; `explained`: why some failed."""

    kill: Kill
    requests: int
    failures: int
    errors_of: tuple[str, ...]
    safe_seconds: float
    quiet_seconds: float
    outcome: str
    explained: str = ""

    def __str__(self) -> str:
        failed = f", {self.failures} failed ({self.explained})" if self.failures else ""
        return (
            f"{self.kill}: safe after {self.safe_seconds:.1f} s, quiet after {self.quiet_seconds:.1f} s; {self.outcome};"
            f" {self.requests} requests{failed}"
        )


@dataclass
class Day:
    """The installation and its guests. The environment of this process names the same home."""

    bakewell: Bakewell
    guests: Sequence[Guest]
    bad: set[str] = field(default_factory=set)
    seen: dict[str, LoadSummary] = field(default_factory=dict)
    number: int = 1

    def round(self, seed: int) -> Round:
        """A new version (every fourth a bad one), a kill at a random moment, and what must be true afterwards."""
        dice = random.Random(seed)
        guest, victim = dice.choice(self.guests), dice.choice(list(Victim))
        self.number += 1
        share = 0.5 if dice.random() < 0.25 else 0.0
        guest.service.version(self.number, failure_share=share)
        if share:
            self.bad.add(str(self.number))
        run = self._push(guest)
        time.sleep(dice.uniform(0.5, LONGEST_SECONDS))
        in_flight = _is_in_flight(guest.name)
        kill = Kill(seed, guest.name, victim, self._kill(victim, guest), in_flight)
        begun = time.monotonic()
        if victim in (Victim.SUPERVISOR, Victim.EVERYTHING):  # as a service manager would
            again = self.bakewell("up", "--detach", seconds=300)
            assert again.code == 0, again.out + again.err
        until(lambda: self._is_safe(guest), SAFE_SECONDS, f"seed {seed}: {guest.name} is safe")
        safe = time.monotonic() - begun
        until(lambda: self._is_quiet(run), QUIET_SECONDS, f"seed {seed}: everything is quiet")
        quiet = time.monotonic() - begun
        self._check_invariants(seed)
        return self._told(kill, guest, safe, quiet)

    # ---- doing -------------------------------------------------------------------------------------

    def _push(self, guest: Guest) -> FlowRun:
        request: dict[str, JsonValue] = {"request": {"folder": str(guest.service.folder)}}
        key = f"chaos:{guest.name}:{self.number}"
        runs: list[FlowRun] = []

        def asked() -> bool:
            runs.append(self._api().create_run("release/release", request, key=key))
            return True

        until(asked, SAFE_SECONDS, f"Prefect takes {key}")  # its SQLite is locked now and then
        return runs[-1]

    def _api(self) -> PrefectApi:
        return PrefectApi(LocalPrefectServer(self.bakewell.home).ensure(lambda line: None))

    def _kill(self, victim: Victim, guest: Guest) -> int:
        """SIGKILL: no handler, hook or `finally` runs. How many died."""
        died = 0
        for pid in set(self._pids(victim, guest)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                died += 1
        return died

    def _pids(self, victim: Victim, guest: Guest) -> Iterator[int]:
        home = self.bakewell.home
        state = state_of(home)
        parts = {
            Victim.ENGINE: (ENGINE,),
            Victim.WORKER: ("worker",),
            Victim.WORKER_AND_ENGINE: ("worker", ENGINE),
            Victim.KEEPER: ("keeper",),
            Victim.EVERYTHING: ("worker", ENGINE, "keeper", "receiver", "deployments"),
        }.get(victim, ())
        if state and victim in (Victim.SUPERVISOR, Victim.EVERYTHING):
            yield state.pid
        yield from (one.pid for one in parts_of(home) if one.part in parts)
        if victim in (Victim.SERVER, Victim.EVERYTHING):
            yield from (one.pid for one in self._marked("BAKEWELL_PREFECT_SERVER"))
        if victim is Victim.ENVOY:
            for one in self._marked("BAKEWELL_ENVIRONMENT"):
                with suppress(psutil.Error):
                    if (
                        "envoy" in one.name()
                        and guest.name in one.environ()["BAKEWELL_ENVIRONMENT"]
                    ):
                        yield one.pid

    def _marked(self, mark: str) -> Iterator[psutil.Process]:
        for one in self.bakewell.processes():
            with suppress(psutil.Error):
                if mark in one.environ():
                    yield one

    # ---- what must be true ---------------------------------------------------------------------------

    def _is_safe(self, guest: Guest) -> bool:
        """No canary without somebody who observes it, and users are served by whom the journal says."""
        journal = platforms.journal()
        for report in statuses(guest.name):
            here = report.state.environment
            if report.state.rollout and journal.holder(here.service, here.name) is None:
                return False
            if report.found is None or not _serves(report):
                return False
        return True

    def _is_quiet(self, run: FlowRun) -> bool:
        """Every environment is as the journal wants it, the installation is well, and Prefect shows no run as going on."""
        state = state_of(self.bakewell.home)
        if state is None or not state.healthy:
            return False
        try:
            if not self._api().run(run.id).has_ended:
                return False
        except BakewellError:
            return False
        return all(
            not one.problems and not one.state.rollout and one.lease is None
            for one in statuses(None)
        )

    def _check_invariants(self, seed: int) -> None:
        events = platforms.journal().events()
        assert verify_chain(events) is None, f"seed {seed}: {verify_chain(events)}"
        state = fold(events)
        for report in statuses(None):
            here = report.state.environment
            assert report.found is not None
            weights = {one.name: one.weight for one in report.found.groups if one.weight}
            stable = report.state.stable
            assert stable is not None
            assert weights == {stable.release: 100}, f"seed {seed}: {here.service} {weights}"
            policy = todays_policy(
                fold(platforms.journal().events(here.service)), here.service, here.name
            )
            for group in report.found.groups:
                ruling = admit(group.artifact, policy)
                assert ruling.answer is Admission.ADMIT, (
                    f"seed {seed}: {group.name} {ruling.reason}"
                )
            wanted = {one.name for one in report.desired.groups}
            assert {one.name for one in report.found.groups} <= wanted, f"seed {seed}: orphans"
            promoted = {one.release for one in report.state.vetted}
            assert stable.release in promoted, f"seed {seed}: {stable.release} was never promoted"
        assert state.releases

    def _told(self, kill: Kill, guest: Guest, safe: float, quiet: float) -> Round:
        hits_users = kill.victim is Victim.ENVOY
        requests, failures, errors = 0, 0, set[str]()
        for one in self.guests:
            now, before = one.load.so_far(), self.seen.get(one.name)
            requests += now.requests - (before.requests if before else 0)
            failed = now.failures - (before.failures if before else 0)
            versions = _errors(now) - (_errors(before) if before else set())
            if not hits_users or one is not guest:
                assert failed == 0, f"{kill}: {one.name} failed {failed}: {now.failed}"
                assert {version for version, _ in versions} <= self.bad, f"{kill}: {versions}"
            failures, errors = failures + failed, errors | {version for version, _ in versions}
            self.seen[one.name] = now
        why = "their splitter was killed" if hits_users else ""
        told = tuple(sorted(errors))
        return Round(
            kill, requests, failures, told, safe, quiet, outcome=_outcome(guest.name), explained=why
        )


def _errors(summary: LoadSummary) -> set[tuple[str, int]]:
    return {(one.version, one.errors) for one in summary.versions if one.errors}


def _serves(report: EnvironmentReport) -> bool:
    """Whoever has traffic has a ready instance."""
    assert report.found is not None
    served = [one for one in report.found.groups if one.weight]
    return bool(served) and all(one.ready for one in served)


def _is_in_flight(service: str) -> bool:
    found = fold(platforms.journal().events(service)).environments.values()
    return any(one.rollout for one in found)


def _outcome(service: str) -> str:
    (state,) = fold(platforms.journal().events(service)).environments.values()
    return state.last_outcome


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """AssertionError if it does not come true in time; who cannot be asked right now is asked again."""
    end, why = time.monotonic() + seconds, ""
    while time.monotonic() < end:
        try:
            if condition():
                return
        except BakewellError as error:
            why = str(error)
        time.sleep(0.5)
    found = [(one.state, one.problems, one.lease) for one in statuses(None)]
    raise AssertionError(f"{what}: not within {seconds:.0f} s. {why} {found}")


def chaotic_day(
    bakewell: Bakewell, services: Sequence[Service], seeds: Sequence[int]
) -> list[Round]:
    """First releases, users, then one round for each seed. Prints each round."""
    for service in services:
        first = bakewell("release", service.folder)
        assert first.code == 0, first.out + first.err
    rounds: list[Round] = []
    with ExitStack() as stack:
        guests = []
        for service in services:
            (place,) = bakewell("status", service.name, "--json").json
            load = stack.enter_context(LoadGenerator(place["endpoint"], RATE, max_seconds=7200))
            guests.append(Guest(service, load))
        day = Day(bakewell, guests)
        for seed in seeds:
            rounds.append(day.round(seed))
            print(rounds[-1], flush=True)
        for guest in guests:
            guest.load.stop()
    return rounds
