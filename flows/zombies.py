"""A chore: runs that nobody does any more are shown as Crashed. It comes after users are safe, and is only for the eye."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime

from flows.parts import POOL
from flows.runs import is_done_by_somebody
from tasks import platforms
from tasks.adapters.prefect_api import PrefectApi
from tasks.adapters.prefect_server import API_URL, LocalPrefectServer
from tasks.operate.zombies import GOING_ON, RunSeen, zombies


def close_zombies() -> Iterator[str]:
    """In the pool of our workers; who does runs of other pools is not known here. Nothing, while no Prefect server is up.

    Says which runs were closed.
    """
    address = os.environ.get(API_URL) or LocalPrefectServer(platforms.home()).running()
    if not address:
        return
    with PrefectApi(address) as api:
        going_on = [
            RunSeen(run.id, run.name, run.state, run.since)
            for run in api.runs_in_pool(POOL, GOING_ON)
        ]
        held = {run.id for run in going_on if is_done_by_somebody(run.id)}
        for run in zombies(going_on, held, datetime.now(UTC)):
            reason = "the process that did it is gone; `bakewell status` shows what is there"
            api.set_state(run.id, "CRASHED", "Crashed", reason)
            yield f"the run {run.name} was {run.state.lower()} with nobody doing it: shown as Crashed"
