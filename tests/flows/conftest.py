"""One Prefect server for all flow tests: the one `python -m tests` has started, else one in the run's own home."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)

from tasks.adapters.prefect_server import LocalPrefectServer


@pytest.fixture(scope="session", autouse=True)
def prefect_api() -> Iterator[str]:
    """The API's URL. The server is shared with other workers and ends with the run (tests/conftest.py).

    Heartbeats are off: each synchronous flow would wait up to a second for its heartbeat thread.
    """
    given = os.environ.get("PREFECT_API_URL")
    api = LocalPrefectServer(Path(os.environ["BAKEWELL_HOME"])).ensure()
    os.environ["PREFECT_API_URL"] = api
    with temporary_settings({PREFECT_API_URL: api, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield api
    if given is None:
        del os.environ["PREFECT_API_URL"]
