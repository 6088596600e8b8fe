"""Run a flow in this process against a Prefect server that is there, or is started first."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flows.story import Tone, tell
from flows.unchanged import Released, released_already
from tasks import platforms
from tasks.adapters.prefect_server import LocalPrefectServer, client_environment

if TYPE_CHECKING:
    from flows.drifting import EnvironmentDrift
    from flows.rebuild_state import RebuildState
    from flows.replacement import Replaced
    from tasks.evidence import Quarantine
    from tasks.journal.rules import Deployed


@contextmanager
def prefect_is_there() -> Iterator[None]:
    """Settings must be in the environment before Prefect is imported: it reads them once.

    Heartbeats are off: ours is the journal's lease, and each sync flow would wait up to 1 s for its heartbeat to end.
    """
    if "prefect" in sys.modules:
        raise RuntimeError("Prefect was imported before its settings were there: find out by whom")
    api = LocalPrefectServer(platforms.home()).ensure(lambda line: tell(line, Tone.WAIT))
    os.environ.update(client_environment(api, platforms.home()))
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


def run_release(folder: Path, to: str = "", despite_burn: str = "") -> "Released":
    """Check the input first: neither a wrong service.yaml nor an unchanged service has to wait for a server."""
    if done := released_already(folder, to):
        return done
    with prefect_is_there():
        from flows.release import ReleaseRequest, release

        return release(ReleaseRequest(folder=folder.absolute(), to=to, despite_burn=despite_burn))


def run_rollback(service: str, environment: str, reason: str) -> "Deployed":
    with prefect_is_there():
        from flows.rollback import rollback

        return rollback(service, environment, reason)


def run_drift(service: str, heal: bool) -> "list[EnvironmentDrift]":
    with prefect_is_there():
        from flows.drift import drift

        return drift(service, heal)


def run_rebuild(service: str, at_once: int) -> "RebuildState":
    with prefect_is_there():
        from flows.rebuild import rebuild

        return rebuild(service, at_once)


def run_replacement(quarantine: "Quarantine", wait_seconds: float) -> "list[Replaced]":
    with prefect_is_there():
        from flows.replacement import replace_everywhere

        return replace_everywhere(quarantine.kind, quarantine.what, wait_seconds)
