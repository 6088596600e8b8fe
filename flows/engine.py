"""The process that does one run: Prefect's engine, with everything imported before it knows which run.

A worker that starts an interpreter for each run makes each of them wait for two to four seconds of imports. `flows/worker.py`
keeps one of these processes ready instead; its order comes as one line of JSON on standard input. What Prefect's own engine
does not do is added here: the run is held in the journal while it is done, and no flow waits for a heartbeat that nobody needs.
"""

import importlib
import json
import os
import runpy
import sys
import warnings
from collections.abc import Mapping

from flows.runs import doing
from tasks.errors import LeaseHeldError

RUN_ID = "PREFECT__FLOW_RUN_ID"
PRELOADED = ("prefect.flow_engine", "flows.release", "flows.rollback", "flows.drift")


def main() -> None:
    """Get ready, wait for an order, do it. Without an order (the worker is gone) nothing is done."""
    for module in PRELOADED:
        importlib.import_module(module)
    if order := sys.stdin.readline():
        wanted = json.loads(order)
        _take_on(wanted["environment"], wanted["folder"])
        do_run()


def do_run() -> None:
    """The run that the environment names. Another process that does it already is left to it."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    sys.argv = ["prefect.engine"]
    warnings.filterwarnings("ignore", ".*prefect.engine", RuntimeWarning)  # it is imported, yes
    try:
        with (
            doing(os.environ[RUN_ID]),
            temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
        ):
            runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)
    except LeaseHeldError as error:
        print(f"run {os.environ[RUN_ID]} is left alone: {error}", file=sys.stderr)


def _take_on(environment: Mapping[str, str | None], folder: str) -> None:
    """Become the process that the order was for; nothing that the flow starts may read our standard input."""
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    os.chdir(folder)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())


if __name__ == "__main__":
    main()
