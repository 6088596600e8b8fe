"""Seconds that pass and seconds that processors work, of a command or a call; medians and Markdown of them."""

import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

COMMAND_SECONDS = 600.0


@dataclass(frozen=True)
class Cost:
    """`cpu_seconds` counts child processes that have ended, too: it says more than the clock on a busy machine."""

    seconds: float
    cpu_seconds: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds)


Laps = dict[str, Cost]


def cost_of(action: Callable[[], object]) -> Cost:
    began, worked = time.perf_counter(), _worked()
    action()
    return Cost(time.perf_counter() - began, _worked() - worked)


def _worked() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def run(command: Sequence[str | Path], environment: Mapping[str, str], folder: Path) -> bytes:
    """What it says on standard output; SystemExit with what it said otherwise if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        capture_output=True,
        check=False,
        timeout=COMMAND_SECONDS,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace")[-2000:]
        raise SystemExit(
            f"{' '.join(map(str, command))}\nended with code {done.returncode}:\n{said}"
        )
    return done.stdout


def total(laps: Laps, names: Iterable[str] | None = None) -> Cost:
    """Of those steps; without names of all."""
    chosen = laps if names is None else names
    return sum((laps[name] for name in chosen), Cost(0.0, 0.0))


def median(costs: Sequence[Cost]) -> Cost:
    """Of each of the two by itself."""
    return Cost(
        statistics.median(one.seconds for one in costs),
        statistics.median(one.cpu_seconds for one in costs),
    )


def median_laps(runs: Sequence[Laps]) -> Laps:
    return {name: median([one[name] for one in runs]) for name in runs[0]}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def spread(costs: Sequence[Cost]) -> str:
    """Median and extremes of the clock."""
    clock = [one.seconds for one in costs]
    return f"{statistics.median(clock):.2f} ({min(clock):.2f} - {max(clock):.2f})"
