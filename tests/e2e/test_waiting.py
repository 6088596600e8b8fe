"""Approvals that stay open while worker and server are killed: with a real worker, the form of a real run, and real commands.

Instances are on the platform in memory: each run has a world of its own, so only what is in the journal can be carried on.
"""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from pydantic import JsonValue
from ruamel.yaml import YAML

from flows.approval import approve
from flows.waking import wake
from tasks import platforms
from tasks.adapters.prefect_api import PrefectApi
from tasks.adapters.prefect_server import API_URL, LocalPrefectServer
from tasks.errors import InvalidInputError
from tasks.journal.events import Approved, BakedBody, Promoted, ReleaseStarted, body_of
from tasks.journal.rules import ReleaseState, fold
from tests.e2e.conftest import EXAMPLE
from tests.e2e.operations.installed import asked_again
from tests.support.engines import wait_for
from tests.support.trivy_db import write_database
from tests.support.workers import kill, make_deployments, worker

POOL = "waiting"
FLOWS = {"release/release": "flows.release:release", "promote/promote": "flows.promotion:promote"}
pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Stack:
    """A Prefect server in a home of its own, which this process shares."""

    home: Path
    api: PrefectApi
    server: LocalPrefectServer


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    home = Path(tempfile.mkdtemp(prefix="bkw-"))
    write_database(home / "trivy" / "db", updated_at=datetime.now(UTC))
    server = LocalPrefectServer(home)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(platforms.HOME, str(home))
        patched.delenv(API_URL, raising=False)
        try:
            url = server.ensure()
            patched.setenv(API_URL, url)
            make_deployments(url, POOL, FLOWS)
            yield Stack(home, PrefectApi(url), server)
        finally:
            server.stop()
            shutil.rmtree(home, ignore_errors=True)


def service(folder: Path, name: str) -> Path:
    """Staging, then production, which somebody has to approve."""
    folder = folder / name
    shutil.copytree(EXAMPLE, folder)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    at_once = {"platform": "memory", "replicas": 1, "strategy": {"kind": "all-at-once"}}
    files = {"hello.py": "/app/hello.py", "METADATA": "/packages/own-1.0.dist-info/METADATA"}
    spec = {
        "service": name,
        "bake": {"files": files, "command": ["python3", "/app/hello.py"]},
        "environments": [
            {"name": "staging", **at_once},
            {"name": "production", "needs_approval": True, **at_once},
        ],
    }
    with (folder / "service.yaml").open("w") as file:
        YAML().dump(spec, file)
    return folder


def told(name: str) -> ReleaseState | None:
    return fold(platforms.journal().events(name)).releases.get((name, "r1"))


def run_of(name: str) -> str:
    found = told(name)
    return found.waiting.wait.flow_run if found and found.waiting else ""


def bodies(name: str, kind: type) -> list[object]:
    found = [body_of(event) for event in platforms.journal().events(name)]
    return [one for one in found if isinstance(one, kind)]


def answered(name: str) -> list[tuple[str, str]]:
    """By whom, and how it came."""
    return [(one.by, one.how) for one in bodies(name, Approved) if isinstance(one, Approved)]


def form_of(api: PrefectApi, run: str) -> str:
    found = [value for key, value in api.inputs(run, "suspended-") if key.endswith("description")]
    return found[0] if found else ""


def test_approvals_outlive_worker_and_server_and_hold_neither_process_nor_lease(
    stack: Stack, tmp_path: Path
) -> None:
    names = ("by-form", "by-command", "by-another-run")
    with worker(stack.api.url, stack.home, POOL) as first:
        for name in names:
            request: dict[str, JsonValue] = {"folder": str(service(tmp_path, name))}
            ask = partial(stack.api.create_run, "release/release", {"request": request}, key=name)
            asked_again(ask)

        def all_wait() -> bool:
            runs = [run_of(name) for name in names]
            return all(runs) and all(stack.api.run(run).state == "PAUSED" for run in runs)

        wait_for(all_wait, 240, "three suspended runs", every=0.5)
        kill(first)
    shutil.rmtree(tmp_path)
    runs = {name: run_of(name) for name in names}
    for name in names:
        assert platforms.journal().holder(name, "") is None
        run = asked_again(partial(stack.api.run, runs[name]))
        assert run.state_name == "Suspended"
        assert len(bodies(name, Promoted)) == 1, "in staging"
    digest = told("by-form").artifact.digest  # type: ignore[union-attr]
    short = digest.removeprefix("sha256:")[:12]
    wait_for(lambda: short in form_of(stack.api, runs["by-form"]), 30, "the form")
    assert "In staging | r1 promoted" in form_of(stack.api, runs["by-form"])

    assert stack.server.stop()
    assert approve("by-command", "production", "it is good", "ada") == "r1"
    assert stack.server.ensure() == stack.api.url

    form = {"decision": "approve", "who": "bob", "why": "it is good"}
    with pytest.raises(InvalidInputError, match="refused"):
        asked_again(partial(stack.api.resume, runs["by-form"], {**form, "who": ""}))
    assert asked_again(partial(stack.api.resume, runs["by-form"], form))
    asked_again(partial(stack.api.delete, runs["by-another-run"]))
    approve("by-another-run", "production", "it is good", "eve")
    with worker(stack.api.url, stack.home, POOL):

        def all_done() -> bool:
            list(wake())
            return all((one := told(name)) and one.outcome for name in names)

        wait_for(all_done, 240, "three promotions", every=1)
    for name in names:
        assert told(name).outcome == "promoted in staging, production"  # type: ignore[union-attr]
        assert len(bodies(name, BakedBody)) == 1
        assert len(bodies(name, Promoted)) == 2, "what was promoted in staging stayed"
    for name in ("by-form", "by-command"):
        assert len(bodies(name, ReleaseStarted)) == 1, "no other run has taken it on"
    assert answered("by-form") == [("bob", "form")]
    assert answered("by-command") == [("ada", "command line")]
    assert answered("by-another-run") == [("eve", "command line")]
