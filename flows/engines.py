"""Engines of a worker: one is kept ready, so that a run begins at once. Knows Prefect's runner, of the version that is pinned."""

import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import anyio
from anyio.abc import Process, TaskStatus
from prefect.client.schemas.objects import FlowRun
from prefect.runner._control_channel import ControlChannel
from prefect.runner._process_manager import ProcessHandle
from prefect.settings import get_current_settings

from flows.engine import RUN_ID
from tasks import platforms
from tasks.adapters.parts import ENGINE, PART_MARK, mark_of

NEXT_AFTER_SECONDS: Final = 3.0
"""A new engine gets ready only then: its imports would take the processor from the run that has just begun."""


class Engines:
    """The processes of one worker that do runs, and the one that waits for the next."""

    def __init__(self) -> None:
        self._ready: Process | None = None
        self._wanted = anyio.Event()
        self.doing: dict[int, Process] = {}

    async def keep_one_ready(self) -> None:
        """Until cancelled. One that died while it waited is replaced when somebody asks for it."""
        try:
            while True:
                if self._ready is None:
                    self._ready = await _spawn()
                await self._wanted.wait()
                self._wanted = anyio.Event()
                await anyio.sleep(NEXT_AFTER_SECONDS)
        finally:
            if self._ready is not None:
                _end(self._ready)

    async def take(self, environment: Mapping[str, str | None]) -> Process:
        """The one that is ready, or a new one where the run wants other settings of Prefect: those are read at import."""
        found, self._ready = self._ready, None
        self._wanted.set()
        if found is not None and (found.returncode is not None or _other_settings(environment)):
            _end(found)
            found = None
        return found or await _spawn({k: v for k, v in environment.items() if v is not None})

    def terminate(self, asked: set[int]) -> None:
        """Ask those that do runs to end, each once: their flows withdraw what is half done. `asked` grows."""
        for pid, process in self.doing.items():
            if pid not in asked:
                asked.add(pid)
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)


class ReadyEngineStarter:
    """One run in one engine: what Prefect's `EngineCommandStarter` does, with a process that has its imports behind it."""

    def __init__(
        self,
        engines: Engines,
        folder: str,
        environment: Mapping[str, str | None],
        control: ControlChannel,
    ) -> None:
        self._engines = engines
        self._folder = folder
        self._environment = environment
        self._control = control

    async def start(
        self,
        flow_run: FlowRun,
        task_status: TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Returns when the run's process has ended."""
        process = await self._engines.take(self._environment)
        self._engines.doing[process.pid] = process
        try:
            await _give(process, {**self._environment, **self._control_of(flow_run)}, self._folder)
            task_status.started(ProcessHandle(process))
            await process.wait()
        finally:
            del self._engines.doing[process.pid]

    def _control_of(self, flow_run: FlowRun) -> dict[str, str | None]:
        """By this connection a cancelled run learns that it is cancelled, not merely killed."""
        found: dict[str, str | None] = {
            RUN_ID: str(flow_run.id),
            "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS": "false",
        }
        with suppress(RuntimeError):  # no listener could be bound; it can then only be killed
            port, token = self._control.register(flow_run.id)
            found |= {"PREFECT__CONTROL_PORT": str(port), "PREFECT__CONTROL_TOKEN": token}
        return found


async def _spawn(environment: Mapping[str, str] | None = None) -> Process:
    return await anyio.open_process(
        [sys.executable, "-m", "flows.engine"],
        stdout=None,
        stderr=None,
        env={**os.environ, **(environment or {}), PART_MARK: mark_of(ENGINE, platforms.home())},
    )


async def _give(process: Process, environment: Mapping[str, Any], folder: str) -> None:
    """Its order. One that died while it waited is seen by how it ended."""
    order = json.dumps({"environment": dict(environment), "folder": folder})
    assert process.stdin is not None, "it was opened with a pipe"
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        await process.stdin.send(f"{order}\n".encode())
        await process.stdin.aclose()


def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()


def _other_settings(environment: Mapping[str, str | None]) -> bool:
    """Prefect reads its own at import. A number may be written in another way than where the setting came from."""
    ours = get_current_settings().to_environment_variables(exclude_unset=True)
    return any(
        name.startswith("PREFECT_")
        and not name.startswith("PREFECT__")
        and value not in (os.environ.get(name), ours.get(name))
        for name, value in environment.items()
    )
