"""What a round of the keeper costs with a year's journal. `python -m tests.benchmarks.operations.keeper`

100,000 lines: 20 services, released 156 times each, most lines samples of their canaries. Nothing is due, so what is measured is
what every round costs, for ever. Prints a Markdown table of processor seconds.
"""

import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from flows.chores import do_chores
from tasks import platforms
from tasks.adapters.journal import SqlJournal
from tasks.journal.events import (
    KINDS,
    BakedBody,
    Body,
    Deployed,
    Promoted,
    ReleaseFinished,
    ReleaseStarted,
    RolloutStarted,
    Sampled,
    StepStarted,
    VerdictGiven,
    WentDown,
    written,
)
from tasks.journal.rules import fold
from tasks.model import Environment, Judgement, Verdict
from tasks.ports import Entry
from tests.support.events import SOURCE, SPEC, artifact, sample, step

LINES: Final = 100_000
SERVICES: Final = tuple(f"s{number:02}" for number in range(20))
SAMPLES: Final = 24
CHORES: Final = (
    "flows.reconciling:reconcile",
    "flows.mending:mend",
    "flows.waking:wake",
    "flows.delivering:deliver",
    "flows.notifying:notify",
    "flows.zombies:close_zombies",
)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bkw-") as folder:
        os.environ["BAKEWELL_HOME"] = folder
        print(f"journal: {fill(Path(folder))} lines, {size(Path(folder)):.0f} MB\n")
        print("| what | first | again |\n|---|--:|--:|")
        for name in CHORES:
            chore = name.partition(":")[2]
            first, again = processor(partial(round_of, name)), processor(partial(round_of, name))
            print(f"| {chore} | {first:.2f} s | {again:.3f} s |")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"| the whole journal folded, as each round did twice | {processor(everything):.2f} s | |"
        )
        print(f"\npeak memory of the chores: {peak:.0f} MB")


def round_of(name: str) -> list[str]:
    return list(do_chores([name]))


def everything() -> None:
    fold(platforms.journal().events())


def processor(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def fill(home: Path) -> int:
    """With what is down in the end, so that no platform is asked. How many lines."""
    journal = SqlJournal(f"sqlite:///{home / 'journal.db'}")
    coming, lines = islice(year(), LINES - len(SERVICES)), 0
    while some := list(islice(coming, 5000)):
        lines += len(journal.append_all(some))
    lines += len(journal.append_all([entry(name, "r1", WentDown()) for name in SERVICES]))
    return lines


def year() -> Iterator[Entry]:
    number = 1
    while True:
        number += 1
        for service in SERVICES:
            yield from (
                entry(service, f"r{number}", body, whole)
                for body, whole in release(service, number)
            )


def release(service: str, number: int) -> Iterator[tuple[Body, bool]]:
    """Its lines, and whether each is of the whole release."""
    place = Environment(service, "prod", "process", 8080)
    made, now = artifact(number), datetime.now(UTC)
    yield BakedBody(SOURCE, made, False), True
    yield ReleaseStarted(SOURCE, SPEC, made, False), True
    yield RolloutStarted(place, made, 2, ""), False
    for index, weight in enumerate((10, 20)):
        yield StepStarted(index, step(number - 1, number, weight)), False
        yield from ((Sampled(sample()), False) for _ in range(SAMPLES // 2))
        yield VerdictGiven(Judgement(Verdict.PROMOTE, "as good as stable")), False
    warm = now + timedelta(minutes=10)
    yield Promoted(Deployed(f"r{number}", made, 2, now), warm), False
    yield ReleaseFinished("promoted in prod"), True


def entry(service: str, release: str, body: Body, whole: bool = False) -> Entry:
    return Entry(KINDS[type(body)], service, written(body), "" if whole else "prod", release)


def size(home: Path) -> float:
    return (home / "journal.db").stat().st_size / 1e6


if __name__ == "__main__":
    main()
