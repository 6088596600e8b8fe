"""A chore: runs that nobody does any more are shown as Crashed. It comes after users are safe, and is only for the eye.

Who does a run is known of the runs of our workers, which hold them in the journal, and of those of commands on this machine
(tasks/adapters/terminals.py). All others are left as they are.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime

from flows.parts import POOL
from flows.runs import is_done_by_somebody
from tasks import platforms
from tasks.adapters.prefect_api import PrefectApi
from tasks.adapters.prefect_server import API_URL, LocalPrefectServer
from tasks.adapters.terminals import dead_terminals, forget
from tasks.operate.zombies import GOING_ON, RunSeen, zombies


def close_zombies() -> Iterator[str]:
    """Nothing, while no Prefect server is up. Says which runs were closed."""
    address = os.environ.get(API_URL) or LocalPrefectServer(platforms.home()).running()
    if not address:
        return
    with PrefectApi(address) as api:
        yield from _of_workers(api)
        yield from close_those_of_commands(api)


def _of_workers(api: PrefectApi) -> Iterator[str]:
    going_on = [
        RunSeen(run.id, run.name, run.state, run.since) for run in api.runs_in_pool(POOL, GOING_ON)
    ]
    held = {run.id for run in going_on if is_done_by_somebody(run.id)}
    for run in zombies(going_on, held, datetime.now(UTC)):
        yield _close(api, run.id, run.name, run.state, "the process that did it is gone")


def close_those_of_commands(api: PrefectApi) -> Iterator[str]:
    """A command that this server does not know is another server's to close."""
    for gone in dead_terminals(platforms.home()):
        if gone.api.rstrip("/") != api.address:
            continue
        for run in api.runs({"tags": {"all_": [gone.tag]}}):
            if run.state in GOING_ON and not is_done_by_somebody(run.id):
                yield _close(api, run.id, run.name, run.state, f"{gone}, which did it, is gone")
        forget(platforms.home(), gone)


def _close(api: PrefectApi, run: str, name: str, state: str, why: str) -> str:
    api.set_state(run, "CRASHED", "Crashed", f"{why}; `bakewell status` shows what is there")
    return f"the run {name} was {state.lower()} with nobody doing it: shown as Crashed"
