"""Run a flow in this process against a Prefect server that is there, or is started first.

Everything is imported when it is needed: users wait for a roll-back, and what a release needs takes half as long to import.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flows.story import Tone, overheard, tell
from tasks import platforms
from tasks.lanes import LaneKind

if TYPE_CHECKING:
    from flows.drifting import EnvironmentDrift
    from flows.rebuild_state import RebuildState
    from flows.replacing import Replaced
    from flows.unchanged import Released
    from tasks.evidence import Quarantine
    from tasks.journal.rules import Deployed


@contextmanager
def prefect_is_there() -> Iterator[None]:
    """Settings must be in the environment before Prefect is imported: it reads them once.

    Heartbeats are off: ours is the journal's lease, and each sync flow would wait up to 1 s for its heartbeat to end.
    """
    if "prefect" in sys.modules:
        raise RuntimeError("Prefect was imported before its settings were there: find out by whom")
    from tasks.adapters.prefect_server import LocalPrefectServer, client_environment
    from tasks.adapters.terminals import terminal

    api = LocalPrefectServer(platforms.home()).ensure(lambda line: tell(line, Tone.WAIT))
    os.environ.update(client_environment(api, platforms.home()))
    from prefect import tags
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    without_heartbeats = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    with terminal(platforms.home(), api) as tag, tags(tag), without_heartbeats:
        yield


def run_release(
    folder: Path,
    to: str = "",
    despite_burn: str = "",
    hotfix: str = "",
    bypass: Sequence[str] = (),
) -> "Released":
    """Check the input first: neither a wrong service.yaml nor an unchanged service has to wait for a server. `hotfix`: why;
    `bypass`: each `GATE=REASON`."""
    from flows.bypassing import bypass_named
    from flows.unchanged import released_already

    lane = LaneKind.HOTFIX if hotfix else LaneKind.NORMAL
    bypasses = tuple(map(bypass_named, bypass))
    if done := released_already(folder, to):
        return done
    with prefect_is_there():
        from flows.release import ReleaseRequest, release

        return release(
            ReleaseRequest(
                folder=folder.absolute(),
                to=to,
                despite_burn=despite_burn,
                lane=lane,
                reason=hotfix,
                bypasses=bypasses,
            )
        )


def run_promotion(service: str, release: str, to: str, despite_burn: str) -> "Released":
    with prefect_is_there():
        from flows.promotion import promote

        return promote(service, release, to, despite_burn)


def run_rollback(service: str, environment: str, reason: str) -> "Deployed":
    """Users first: they are back before Prefect is even imported. What was done is shown there afterwards."""
    from flows.going_back import roll_back

    with overheard() as story:
        target = roll_back(service, environment, reason)

    def show() -> None:
        from flows.rollback import show_rolled_back

        show_rolled_back(service, environment, reason, target.release, story)

    _show_afterwards(show, f"users are back on {target.release}", f"{service} {environment}")
    return target


def _show_afterwards(show: Callable[[], None], done: str, where: str) -> None:
    """Whatever hinders it, and be it somebody who will not wait: what was done has succeeded, and is in the journal."""
    try:
        with prefect_is_there():
            show()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - Prefect raises what it likes
        why = str(error) or type(error).__name__
        words = f"{done}, and the journal says so; Prefect could not show it: {why}"
        tell(words, Tone.WARN, where=where)


def run_drift(service: str, heal: bool) -> "list[EnvironmentDrift]":
    with prefect_is_there():
        from flows.drift import drift

        return drift(service, heal)


def run_rebuild(service: str, at_once: int) -> "RebuildState":
    with prefect_is_there():
        from flows.rebuild import rebuild

        return rebuild(service, at_once)


def run_replacement(quarantine: "Quarantine", wait_seconds: float) -> "list[Replaced]":
    """Users first, as by `run_rollback`."""
    from flows.replacing import replace_all

    with overheard() as story:
        done = replace_all(quarantine.kind, quarantine.what, wait_seconds)

    def show() -> None:
        from flows.replacement import show_replaced

        show_replaced(quarantine.kind, quarantine.what, done, story)

    if done:
        _show_afterwards(show, "what could be replaced was", quarantine.what)
    return done
