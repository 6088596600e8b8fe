"""What a rebuild of fifty services on three bases costs: time and memory. `python -m tests.benchmarks.operations.rebuild`

A third of them stands on the base that moves. They run in memory, so what is measured is the rebuild: looking, planning, baking,
evidence, journal and Prefect; not the start of instances. Prints a Markdown table.
"""

import os
import resource
import tempfile
import time
from pathlib import Path

import pytest

from flows.run import prefect_is_there
from tasks import platforms
from tasks.adapters.prefect_server import LocalPrefectServer
from tests.support.many import Many, as_in_memory, fifty

AT_ONCE = (1, 4)
EVERY = 3


def main() -> None:
    print("| at once | services | plan | rebuilt | rebuild | each | peak memory |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    for at_once in AT_ONCE:
        with tempfile.TemporaryDirectory(prefix="bkw-") as folder:
            _in_a_process_of_its_own(Path(folder), at_once)


def _in_a_process_of_its_own(folder: Path, at_once: int) -> None:
    """Settings are read once by Prefect, and peak memory is a process's."""
    if (child := os.fork()) == 0:
        code = 1
        try:
            measure(folder, at_once)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit("the rebuild did not come to its end")


def measure(folder: Path, at_once: int) -> None:
    os.environ["BAKEWELL_HOME"] = str(folder / "home")
    os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
    with pytest.MonkeyPatch.context() as patch:
        as_in_memory(patch, folder)
        many = fifty(folder, EVERY)
        many.move_a_base_and_mend_a_package()
        try:
            with prefect_is_there():
                print(_row(many, at_once), flush=True)
        finally:
            LocalPrefectServer(platforms.home()).stop()


def _row(many: Many, at_once: int) -> str:
    from flows.rebuild import rebuild
    from flows.staleness import planned

    begin = time.monotonic()
    stale = planned().stale
    looked = time.monotonic()
    done = rebuild(at_once=at_once)
    ended = time.monotonic()
    assert {one.service for one in stale} == many.affected == set(done.done)
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    count, seconds = len(done.done), ended - looked
    return (
        f"| {at_once} | {len(many.artifacts)} | {looked - begin:.1f} s | {count} | {seconds:.1f} s"
        f" | {seconds / count:.2f} s | {megabytes:.0f} MB |"
    )


if __name__ == "__main__":
    main()
