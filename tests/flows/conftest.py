"""One Prefect server for all flow tests: the one `python -m tests` has started, else one in the run's own home."""

import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)

from tasks import platforms
from tasks.adapters.memory import MemoryScanner, world_named
from tasks.adapters.prefect_server import LocalPrefectServer
from tests.flows.scene import Scene, make_scene
from tests.support.trivy_db import write_database


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
        APILogWorker.drain_all()  # the server is about to end, and the last lines would wait for it
    if given is None:
        del os.environ["PREFECT_API_URL"]


@pytest.fixture
def scene(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """A fresh service, a fresh vulnerability database, and a world in which nothing is wrong.

    The world's own scanner finds nothing wrong either, at once; tests marked `scanned` have the real one.
    """
    if request.node.get_closest_marker("scanned") is None:
        world = world_named(str(platforms.home()))
        monkeypatch.setattr(platforms, "scanner", lambda say=None: MemoryScanner(world))
    write_database(platforms.home() / "trivy" / "db", datetime.now(UTC))
    made = make_scene(tmp_path, f"s{uuid.uuid4().hex[:10]}")
    yield made
    made.world.metrics_outage = ""
    made.world.calm()
