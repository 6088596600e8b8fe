"""Load: users that ask all the time, played by a process of their own, and what they saw.

The process (`flows/users.py`) ends by itself: when it is stopped, when its time is over, and when this process dies.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import reduce
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from flows.users import BOUNDS_MS, Ended, Failure, Habits
from tasks.model import LatencyHistogram
from tasks.observe.counting import add, quantile_ms

ROOT: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class VersionSeen:
    """What users were answered by one version. `version` is empty where the answer named none: the splitter's own."""

    version: str
    statuses: Mapping[int, int]
    latency: LatencyHistogram
    slowest_ms: float

    @property
    def requests(self) -> int:
        return sum(self.statuses.values())

    @property
    def errors(self) -> int:
        """Answered with a 5xx."""
        return sum(count for status, count in self.statuses.items() if status >= 500)

    def quantile_ms(self, share: float) -> float | None:
        """Upper bound of the histogram's bucket; None above 7.5 s."""
        return quantile_ms(self.latency, share)


@dataclass(frozen=True)
class Second:
    """What users saw in the `seconds` (about 1) that ended at `at`. `late` requests were sent 50 ms or more after they
    were due: all connections were busy, or this machine was."""

    at: datetime
    seconds: float
    versions: tuple[VersionSeen, ...]
    failed: Mapping[Failure, int]
    late: int


@dataclass(frozen=True)
class LoadSummary:
    """All that users saw. If `ended` is LOST, its newest second is missing: no claim about failures can be made."""

    url: str
    series: tuple[Second, ...]
    ended: Ended
    problem: str = ""

    @property
    def versions(self) -> tuple[VersionSeen, ...]:
        """Totals per version, in order of version."""
        return tuple(
            reduce(_together, found)
            for _, found in sorted(_by_version(self.series).items(), key=lambda item: item[0])
        )

    @property
    def failed(self) -> Mapping[Failure, int]:
        """Requests that got no answer at all, per kind."""
        return sum((Counter(second.failed) for second in self.series), Counter())

    @property
    def failures(self) -> int:
        """Requests that got no answer at all."""
        return sum(self.failed.values())

    @property
    def errors(self) -> int:
        """Requests that were answered with a 5xx."""
        return sum(version.errors for version in self.versions)

    @property
    def requests(self) -> int:
        return sum(version.requests for version in self.versions) + self.failures

    @property
    def seconds(self) -> float:
        return sum(second.seconds for second in self.series)

    @property
    def late(self) -> int:
        return sum(second.late for second in self.series)

    @property
    def slowest_ms(self) -> float:
        return max((version.slowest_ms for version in self.versions), default=0.0)


def _by_version(series: Iterable[Second]) -> Mapping[str, list[VersionSeen]]:
    found: dict[str, list[VersionSeen]] = {}
    for second in series:
        for version in second.versions:
            found.setdefault(version.version, []).append(version)
    return found


def _together(one: VersionSeen, other: VersionSeen) -> VersionSeen:
    return VersionSeen(
        one.version,
        dict(Counter(one.statuses) + Counter(other.statuses)),
        add(one.latency, other.latency),
        max(one.slowest_ms, other.slowest_ms),
    )


def read_lines(
    url: str, lines: Iterable[str], otherwise: Ended = Ended.LOST, problem: str = ""
) -> LoadSummary:
    """What `flows.users` wrote; `otherwise` is how it ended if its last line is not there. A line cut short is left
    out."""
    series, ended = [], otherwise
    for line in lines:
        with suppress(json.JSONDecodeError):
            found = json.loads(line)
            series.append(_second(found))
            ended = Ended(found.get("ended", ended))
    return LoadSummary(url, tuple(series), ended, problem if ended is Ended.LOST else "")


def _second(found: Mapping[str, Any]) -> Second:
    versions = (
        VersionSeen(
            version,
            {int(status): count for status, count in one["statuses"].items()},
            LatencyHistogram(BOUNDS_MS, tuple(one["latency"])),
            one["slowest_ms"],
        )
        for version, one in found["versions"].items()
    )
    failed = {Failure(kind): count for kind, count in found["failed"].items()}
    at = datetime.fromisoformat(found["at"])
    return Second(at, found["seconds"], tuple(versions), failed, found["late"])


class LoadGenerator:
    """`with LoadGenerator(url, 100) as load: …; load.stop()`. It is started once and stopped once.

    `connections` bounds the requests in flight: about rate times latency are needed, or requests go out late.
    """

    def __init__(
        self,
        url: str,
        rate_per_second: float = 100,
        connections: int = 8,
        *,
        version_header: str = "x-version",
        timeout_seconds: float = 5,
        max_seconds: float = 600,
    ) -> None:
        self._habits = Habits(
            url, rate_per_second, connections, version_header, timeout_seconds, max_seconds
        )
        self._running: _Running | None = None
        self._summary: LoadSummary | None = None

    def start(self) -> Self:
        """Begin to ask. A session of its own: Ctrl-C is for us, and we stop it."""
        options = asdict(self._habits)
        command = [sys.executable, "-m", "flows.users", options.pop("url")]
        command += [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        paths = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
        said = tempfile.TemporaryFile()  # noqa: SIM115 closed by stop()
        complained = tempfile.TemporaryFile()  # noqa: SIM115 closed by stop()
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=complained,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
        )
        self._running = _Running(process, said, complained)
        return self

    @property
    def pid(self) -> int:
        """Of the process that asks, while it runs."""
        return self._started().process.pid

    def so_far(self) -> LoadSummary:
        """What users saw until the newest full second."""
        if self._summary is not None:
            return self._summary
        running = self._started()
        alive = running.process.poll() is None
        return read_lines(
            self._habits.url,
            _text(running.said),
            Ended.NOT_YET if alive else Ended.LOST,
            running.problem(),
        )

    def stop(self) -> LoadSummary:
        """Let requests in flight finish, and tell what users saw."""
        if self._summary is None:
            running = self._started()
            running.end(self._habits.timeout_seconds + 5)
            lines = _text(running.said)
            self._summary = read_lines(self._habits.url, lines, Ended.LOST, running.problem())
            running.close()
        return self._summary

    def _started(self) -> "_Running":
        if self._running is None:
            raise RuntimeError("the load generator was not started")
        return self._running

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


@dataclass(frozen=True)
class _Running:
    """Files, not pipes: nobody has to read while it runs, and what was said survives a kill."""

    process: subprocess.Popen[bytes]
    said: IO[bytes]
    complained: IO[bytes]

    def end(self, seconds: float) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def problem(self) -> str:
        complaint = [line for line in _text(self.complained) if line.strip()]
        return complaint[-1] if complaint else f"exit code {self.process.poll()}"

    def close(self) -> None:
        self.said.close()
        self.complained.close()


def _text(file: IO[bytes]) -> list[str]:
    """By `pread`: the offset is shared with the process that writes, and must not move."""
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode(errors="replace").splitlines()
