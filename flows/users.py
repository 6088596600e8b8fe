"""Plays a service's users: `python -m flows.users URL …` asks at a constant rate and reports every second as a JSON line.

Standard library only, threads with `http.client`: measured at 200 requests/s, httpx needs three times the processor
time, and on two cores that would slow down what is being observed. A process of its own, because in the flow's
process the two would wait for each other's interpreter lock.

The schedule is open-loop: request number n is due at n / rate, whether the ones before were answered or not, and its
latency counts from when it was due. Nothing is ever asked twice.
"""

import argparse
import json
import os
import select
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from http.client import HTTPConnection, HTTPException, IncompleteRead
from typing import Final
from urllib.parse import urlsplit

from pydantic import JsonValue

from tasks.errors import InvalidInputError

LATE_SECONDS: Final = 0.05
BOUNDS_MS: Final = tuple(
    step * 10.0**power for power in range(4) for step in (1, 1.5, 2, 3, 4, 5, 7.5)
)


class Failure(StrEnum):
    """Why a request got no answer at all. A 5xx is an answer."""

    REFUSED = "connection refused"
    BROKEN = "connection broken"
    TIMEOUT = "no answer in time"
    GARBLED = "not an HTTP answer"


class Ended(StrEnum):
    """Whether and why a load generator asks no more."""

    NOT_YET = "still asking"
    STOPPED = "stopped"
    TIME_OVER = "its time was over"
    LOST = "it died, or could not start"


@dataclass(frozen=True)
class Habits:
    """Whom to ask, how often, and for how long. `version_header` is the answer's header that names its version."""

    url: str
    rate_per_second: float
    connections: int
    version_header: str
    timeout_seconds: float
    max_seconds: float

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme != "http" or not urlsplit(self.url).hostname:
            raise InvalidInputError(
                f"load can be sent to http://host:port/path, not to {self.url!r}"
            )
        if min(self.rate_per_second, self.connections, self.timeout_seconds, self.max_seconds) <= 0:
            raise InvalidInputError(f"rate, connections and seconds must be above 0; found {self}")


class Schedule:
    """When the next request is due (monotonic seconds); shared by all users."""

    def __init__(self, rate_per_second: float) -> None:
        self._start, self._rate, self._taken = time.monotonic(), rate_per_second, 0
        self._lock = threading.Lock()

    def next_due(self) -> float:
        with self._lock:
            self._taken += 1
            return self._start + (self._taken - 1) / self._rate


@dataclass
class _Answers:
    """Of one version in one second."""

    statuses: Counter[int] = field(default_factory=Counter)
    latency: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    slowest_ms: float = 0.0


class Tally:
    """What happened since it was last taken; shared by all users."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._since = time.monotonic()
        self._answers: dict[str, _Answers] = {}
        self._failed: Counter[Failure] = Counter()
        self._late = 0

    def answered(self, version: str, status: int, milliseconds: float, late: bool) -> None:
        place = next((i for i, bound in enumerate(BOUNDS_MS) if milliseconds <= bound), -1)
        with self._lock:
            mine = self._answers.setdefault(version, _Answers())
            mine.statuses[status] += 1
            mine.latency[place] += 1
            mine.slowest_ms = max(mine.slowest_ms, milliseconds)
            self._late += late

    def failed(self, failure: Failure, late: bool) -> None:
        with self._lock:
            self._failed[failure] += 1
            self._late += late

    def take(self) -> Mapping[str, JsonValue]:
        """As JSON, and start again at 0."""
        with self._lock:
            answers, failed, late = self._answers, self._failed, self._late
            seconds = time.monotonic() - self._since
            self._clear()
        return {
            "at": datetime.now(UTC).isoformat(),
            "seconds": round(seconds, 3),
            "versions": {
                version: {
                    "statuses": {str(status): count for status, count in one.statuses.items()},
                    "latency": list(one.latency),
                    "slowest_ms": round(one.slowest_ms, 3),
                }
                for version, one in answers.items()
            },
            "failed": {kind.value: count for kind, count in failed.items()},
            "late": late,
        }


class User(threading.Thread):
    """One keep-alive connection. It opens a new one only when the old one is closed."""

    def __init__(self, habits: Habits, schedule: Schedule, tally: Tally, stop: threading.Event):
        super().__init__(daemon=True, name="user")
        self._habits, self._schedule, self._tally, self._stop_asking = habits, schedule, tally, stop
        where = urlsplit(habits.url)
        self._connection = HTTPConnection(
            where.hostname or "", where.port or 80, timeout=habits.timeout_seconds
        )
        self._path = (where.path or "/") + (f"?{where.query}" if where.query else "")

    def run(self) -> None:
        while not self._stop_asking.is_set():
            due = self._schedule.next_due()
            if self._stop_asking.wait(max(0.0, due - time.monotonic())):
                break
            self._ask(due)
        self._connection.close()

    def _ask(self, due: float) -> None:
        late = time.monotonic() - due > LATE_SECONDS
        try:
            version, status = self._exchange()
        except (OSError, HTTPException) as error:
            self._connection.close()
            self._tally.failed(failure_of(error), late)
        else:
            self._tally.answered(version, status, (time.monotonic() - due) * 1000, late)

    def _exchange(self) -> tuple[str, int]:
        if self._connection.sock is not None and _closed_by_server(self._connection.sock.fileno()):
            self._connection.close()
        self._connection.request("GET", self._path, headers={"User-Agent": "bakewell-users"})
        answer = self._connection.getresponse()
        answer.read()
        return answer.getheader(self._habits.version_header, ""), answer.status


def _closed_by_server(descriptor: int) -> bool:
    """An idle connection that can be read has nothing but its end to say: not a failure, every client knows it."""
    return bool(select.select([descriptor], [], [], 0)[0])


def failure_of(error: OSError | HTTPException) -> Failure:
    match error:
        case TimeoutError():
            return Failure.TIMEOUT
        case ConnectionRefusedError():
            return Failure.REFUSED
        case OSError() | IncompleteRead():
            return Failure.BROKEN
        case _:
            return Failure.GARBLED


def ask_around(habits: Habits, stop: threading.Event) -> Ended:
    """Ask until stopped or the time is over; writes what happened to standard output every second."""
    schedule, tally = Schedule(habits.rate_per_second), Tally()
    users = [User(habits, schedule, tally, stop) for _ in range(habits.connections)]
    end = time.monotonic() + habits.max_seconds
    for user in users:
        user.start()
    while not stop.wait(min(1.0, max(0.0, end - time.monotonic()))) and time.monotonic() < end:
        _write(tally.take())
    ended = Ended.STOPPED if stop.is_set() else Ended.TIME_OVER
    stop.set()
    _let_finish(users, habits.timeout_seconds, tally)
    _write({**tally.take(), "ended": ended.value})
    return ended


def _let_finish(users: Sequence[User], seconds: float, tally: Tally) -> None:
    """Whoever still waits for an answer then got none in time."""
    patience = time.monotonic() + seconds + 0.5
    for user in users:
        user.join(max(0.0, patience - time.monotonic()))
        if user.is_alive():
            tally.failed(Failure.TIMEOUT, late=False)


def _write(line: Mapping[str, JsonValue]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _stop_with_parent(stop: threading.Event) -> None:
    """Standard input ends when the parent closes it, and also when the parent is killed."""
    while os.read(0, 1024):
        pass
    stop.set()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m flows.users", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--rate-per-second", type=float, default=100)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--version-header", default="x-version")
    parser.add_argument("--timeout-seconds", type=float, default=5)
    parser.add_argument("--max-seconds", type=float, default=600)
    habits = Habits(**vars(parser.parse_args(arguments)))
    stop = threading.Event()
    threading.Thread(target=_stop_with_parent, args=(stop,), daemon=True).start()
    ask_around(habits, stop)


if __name__ == "__main__":
    main()
