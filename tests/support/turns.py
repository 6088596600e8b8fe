"""Who runs which file: flow tests mostly wait (for looks, soaks and graces), end-to-end tests need every core. Side by side they
fill a machine that each alone would leave idle or would crowd.

So there is one worker more than there are cores, and it takes the flow tests first. Afterwards it takes what has no properties
to be tested: Prefect's threads use `random`, which hypothesis minds.
"""

from pathlib import Path
from typing import Final

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

ROOT: Final = Path(__file__).parents[2]


class Turns(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Whole files in the order of the collection (tests/conftest.py), but for the worker of the flows."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        if len(self.nodes) > 2 and node is self.nodes[-1]:
            self.workqueue.move_to_end(min(self.workqueue, key=_rank), last=False)
        super()._assign_work_unit(node)


def _rank(file: str) -> int:
    """What the worker of the flows takes first. `min` keeps the order of equals."""
    if file.startswith("tests/flows/"):
        return 0
    if file.startswith("tests/e2e/"):
        return 1
    return 3 if "hypothesis" in (ROOT / file).read_text() else 2
