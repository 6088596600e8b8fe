"""`python -m tests.benchmarks.live [--only NAME ...] [--rates 100 500]`: release them all, print the tables, keep samples.

Prints Markdown for README.md beside this file. Needs Linux x86-64 (Trivy and Envoy wheels) and two idle cores; all load goes
to loopback. `--tables` prints the tables of what was recorded before, without releasing anything.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.benchmarks.live.recording import Recording, load_all, store
from tests.benchmarks.live.versions import VERSIONS, Version

HERE: Final = Path(__file__).parent
RELEASED, ONWARD = HERE / "recorded" / "released", HERE / "recorded" / "onward"
MOST_RATE: Final = 500.0  # of all services side by side: what two cores bear


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.live", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[one.name for one in VERSIONS])
    parser.add_argument("--rates", nargs="+", type=float, default=[100.0, 500.0])
    parser.add_argument("--side-by-side", type=int, default=4, help="services at once, at most")
    parser.add_argument(
        "--onward",
        action="store_true",
        help="also record what was stopped early to the end, without a judge",
    )
    parser.add_argument("--tables", action="store_true", help="of what was recorded before")
    asked = parser.parse_args(arguments)
    if not asked.tables:
        chosen = [one for one in VERSIONS if not asked.only or one.name in asked.only]
        with tempfile.TemporaryDirectory(prefix="bkw-") as folder:
            release_all(Path(folder), chosen, asked)
    print_tables()


def release_all(home: Path, chosen: Sequence[Version], asked: argparse.Namespace) -> None:
    from tasks.adapters.prefect_server import LocalPrefectServer, client_environment
    from tests.support.trivy_db import write_database

    os.environ["BAKEWELL_HOME"] = str(home)
    write_database(home / "trivy" / "db", updated_at=datetime.now(UTC))
    server = LocalPrefectServer(home)
    os.environ.update(client_environment(server.ensure(lambda line: None), home))
    os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
    try:
        for rate in asked.rates:
            count = max(1, min(asked.side_by_side, int(MOST_RATE // rate)))
            with ThreadPoolExecutor(count) as pool:
                list(pool.map(lambda one, at=rate: one_trial(home, one, at, asked.onward), chosen))
    finally:
        server.stop()


def one_trial(home: Path, version: Version, rate: float, onward: bool) -> None:
    from tests.benchmarks.live.onward import observed
    from tests.benchmarks.live.replaying import ours
    from tests.benchmarks.live.trial import Trial

    with Trial(version, rate, home) as trial:
        found = trial.run()
        keep(found, RELEASED)
        again = ours(found, trial.spec)
        if (again.verdict, again.reason) != (found.verdict, found.reason):
            raise SystemExit(f"{found.name}: replayed, it is {again.verdict}: {again.reason}")
        if onward and not found.phases[-1].watch:
            keep(observed(trial), ONWARD)


def keep(found: Recording, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    store([found], folder)
    print(
        f"{found.name}: {found.verdict.value} after {found.seconds:.0f} s: {found.reason}",
        found.users or "",
        file=sys.stderr,
        flush=True,
    )


def print_tables() -> None:
    from tests.benchmarks.live.table import compared, released
    from tests.benchmarks.live.trial import spec_of_trials

    found, longer = load_all(RELEASED), load_all(ONWARD)
    order = {one.name: place for place, one in enumerate(VERSIONS)}
    for some in (found, longer):
        some.sort(key=lambda one: (order[one.version], one.rate))
    print("\n".join(released(found)), end="\n\n")
    spec = spec_of_trials()
    print("\n".join(compared(found, spec)), end="\n\n")
    if longer:
        print("\n".join(compared(longer, spec)))


if __name__ == "__main__":
    main()
