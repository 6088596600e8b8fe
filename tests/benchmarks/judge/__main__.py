"""The judge against the others, on the same streams. `python -m tests.benchmarks.judge [--full]`

The short form takes less than ten minutes on two cores. Tables and plots go to results/ beside this file; exit code 1 if a
cell is worse than the prototype's, or another method is better and has no named reason.
"""

import sys
import time
from collections.abc import Sequence
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from tests.benchmarks.judge import latencies, plots, tables, worlds
from tests.benchmarks.judge.cells import FULL, SHORT, Cell, Job, Size, done, jobs
from tests.benchmarks.judge.comparing import (
    Cells,
    Standing,
    exceptions,
    unnamed,
    with_prototype,
)

RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str]) -> int:
    full = "--full" in arguments
    cells = Cells(measured(FULL if full else SHORT))
    compared, better = list(with_prototype(cells)), list(exceptions(cells))
    size = FULL if full else SHORT
    RESULTS.mkdir(exist_ok=True)
    lines = [
        *_heading(size, full),
        *tables.exceptions_table(better),
        *tables.all_tables(cells),
        *tables.prototype_table(compared),
    ]
    (RESULTS / "tables.md").write_text("\n".join(lines))
    _plots(cells)
    worse = [one for one in compared if one.standing is Standing.WORSE]
    for one in worse:
        print(f"worse than the prototype: {one.what}: {one.ours}, there {one.theirs}")
    for other in unnamed(better):
        print(f"better than we are, and not named: {other}")
    print(f"{len(compared)} cells compared with the prototype, {len(worse)} worse")
    return 1 if worse or unnamed(better) else 0


def measured(size: Size) -> list[Cell]:
    todo, found, began = jobs(size), list[Cell](), time.monotonic()
    with Pool(2) as pool:
        for count, (job, cells) in enumerate(pool.imap(_timed, todo), start=1):
            found += cells
            after = time.monotonic() - began
            print(
                f"{count}/{len(todo)} {after:4.0f} s  {job.kind} {job.world} {job.rate}", flush=True
            )
    return found


def _timed(job: Job) -> tuple[Job, list[Cell]]:
    return job, done(job)


def _heading(size: Size, full: bool) -> list[str]:
    command = f"python -m tests.benchmarks.judge{' --full' if full else ''}"
    return [
        "# The judge against the others",
        "",
        f"Written by `{command}` (numpy {np.__version__}; seeds are fixed, so the same numpy gives the same figures).",
        "",
        (
            f"{size.errors} (errors) and {size.latency} (latency) runs of each null world, {size.failing} and {size.slow} of each"
            f" regression, {size.memory} of each leak, {size.promotion} of each promotion. A canary with 5 % of the traffic, 19"
            " instances of 5 % beside it, 15 min in steps of 5 s, 0.1 % errors; latency log-normal, p50 100 ms, p99 500 ms"
            " (worlds.py, latencies.py, memory.py). A detection is *power · median/95 % seconds · failed (errors) or slow"
            " (latency) canary requests* until then; a fault from 5 min on counts from its onset."
        ),
        "",
    ]


def _plots(cells: Cells) -> None:
    errors, latency = list(worlds.NULL_WORLDS), list(latencies.NULL_WORLDS)
    pages = {
        "errors-false-alarms.svg": plots.false_alarms(cells, "errors", errors, 100),
        "latency-false-alarms.svg": plots.false_alarms(cells, "latency", latency, 1000),
        "errors-times.svg": plots.times(cells, "errors", list(worlds.REGRESSIONS), 100),
        "latency-times.svg": plots.times(cells, "latency", list(latencies.REGRESSIONS), 1000),
    }
    for name, page in pages.items():
        (RESULTS / name).write_text(page)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
