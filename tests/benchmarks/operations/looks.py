"""What it costs to look whether anything died. `python -m tests.benchmarks.operations.looks [SERVICES]`

So many services (25) of two instances, real processes behind one Envoy each, and nothing wrong with them; then the same machine
after a reboot: all of them killed, and how long until each is served again, one after the other. Prints a Markdown table.
"""

import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from flows.mending import memory_of_this_home, mend
from tasks import platforms
from tasks.adapters import process_table
from tasks.adapters.process import ProcessFleet
from tasks.journal.events import Deployed, Promoted, RolloutStarted, record
from tasks.model import Artifact, EnsureGroup, Environment, Group, Role, ShiftTraffic
from tests.support.admitting import admit_for_the_day
from tests.support.events import NOON
from tests.support.process_ground import make_artifact, open_store

SERVICES: Final = 25
LOOKS: Final = 5


def main(count: int) -> None:
    home = Path(tempfile.mkdtemp(prefix="bkw-"))
    os.environ["BAKEWELL_HOME"] = str(home)
    artifact = make_artifact(home, "1")
    try:
        for number in range(count):
            stand(home, place(number), artifact)
        looks = [measured() for _ in range(LOOKS)][1:]
        print(f"| {count} services, {2 * count} instances | seconds | processor seconds |")
        print("|---|--:|--:|")
        wall, processor = (sorted(one)[len(one) // 2] for one in zip(*looks, strict=True))
        print(f"| a look at all of them | {wall:.2f} | {processor:.2f} |")
        kill_all(home)
        memory_of_this_home().next_look = 0.0
        begun = time.monotonic()
        mended = [time.monotonic() - begun for _ in mend()]
        assert len(mended) == count
        print(f"| all killed: the first served again | {mended[0]:.1f} | |")
        print(f"| the last | {mended[-1]:.1f} | {mended[-1] / count:.2f} each |")
    finally:
        for number in range(count):
            ProcessFleet(home, open_store).down(place(number), 10**9)
        shutil.rmtree(home, ignore_errors=True)


def place(number: int) -> Environment:
    return Environment(f"s{number:02}", "production", "process")


def stand(home: Path, here: Environment, made: Artifact) -> None:
    """As if it had been released, and admitted today."""
    artifact, name = replace(made, service=here.service), here.service
    admit_for_the_day(artifact)
    record(platforms.journal(), name, here.name, "r1", RolloutStarted(here, artifact, 2, ""))
    promoted = Promoted(Deployed("r1", artifact, 2, NOON), None)
    record(platforms.journal(), name, here.name, "r1", promoted)
    fleet = ProcessFleet(home, open_store)
    fleet.apply(here, EnsureGroup(Group("r1", artifact, 2, 0, Role.STABLE)), 0)
    fleet.apply(here, ShiftTraffic((("r1", 100),)), 0)


def measured() -> tuple[float, float]:
    memory_of_this_home().next_look = 0.0
    wall, processor = time.monotonic(), time.process_time()
    assert list(mend()) == [], "nothing is wrong"
    return time.monotonic() - wall, time.process_time() - processor


def kill_all(home: Path) -> None:
    for one in process_table.find({"BAKEWELL_HOME": str(home)}):
        if "BAKEWELL_ENVIRONMENT" in one.marks:
            os.kill(one.pid, signal.SIGKILL)
            while process_table.is_running(one):
                time.sleep(0.01)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else SERVICES)
