"""The worker: takes runs of a process pool and does each in an engine that is ready. Told to stop, it drains.

Prefect's own worker kills its flows without a word when it is stopped, and leaves their runs Running for ever. This one takes
no more runs, asks the flows to end (a rollout then withdraws its canary), waits for them, and only then goes. SIGTERM and
SIGINT do that; SIGUSR1 lets what runs go on to its own end; a second SIGTERM waits no longer.
"""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.abc
from prefect.client.schemas.objects import FlowRun
from prefect.flows import load_flow_from_flow_run
from prefect.runner._flow_run_executor import FlowRunExecutionResult, FlowRunExecutorContext
from prefect.runner._process_manager import ProcessHandle
from prefect.workers.process import (
    ProcessJobConfiguration,
    ProcessWorker,
    ProcessWorkerResult,
)

from flows.engines import Engines, ReadyEngineStarter
from tasks import platforms
from tasks.adapters.parts import beat

AT_ONCE: Final = 8
GRACE_SECONDS: Final = 60.0
"""How long flows may take to withdraw what they began, before the worker goes all the same."""


class DrainingWorker(ProcessWorker):
    """Prefect's process worker, but for how a run's process is made, and how it stops."""

    def __init__(self, engines: Engines, **settings: Any) -> None:
        super().__init__(**settings)
        self.engines = engines
        self.takes_runs = True

    @classmethod
    def __dispatch_key__(cls) -> str:
        """In Prefect's table of workers it stands beside the one it is made from, not in its place."""
        return "bakewell-process"

    @property
    def busy(self) -> bool:
        return bool(self.engines.doing) or bool(self._limiter and self._limiter.borrowed_tokens)

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        beat(platforms.home(), "worker")
        return await super().get_and_submit_flow_runs() if self.takes_runs else []

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """As `ProcessWorker.run`, in a ready engine."""
        with tempfile.TemporaryDirectory(prefix="bakewell-run-") as empty:
            folder = str(configuration.working_dir or Path(empty).resolve())
            async with FlowRunExecutorContext() as context:
                starter = ReadyEngineStarter(
                    self.engines, folder, configuration.env, context.control_channel
                )
                executor = context.create_executor(
                    flow_run,
                    starter,
                    resolve_flow=load_flow_from_flow_run,
                    propose_submitting=False,
                )
                done: FlowRunExecutionResult | None = None

                async def execute(*, task_status: anyio.abc.TaskStatus[ProcessHandle]) -> None:
                    nonlocal done
                    done = await executor.submit(task_status=task_status)

                async with anyio.create_task_group() as group:
                    handle = await group.start(execute)
                    if task_status is not None:
                        task_status.started(handle.pid)
        if done is None or done.status_code is None:
            raise RuntimeError("the run's process could not be started")
        return ProcessWorkerResult(status_code=done.status_code, identifier=str(done.handle.pid))


async def work(pool: str, name: str, at_once: int) -> None:
    """Until told to stop. `at_once`: how many runs at the same time; each takes about 150 MB."""
    engines = Engines()
    worker = DrainingWorker(
        engines, work_pool_name=pool, name=name or socket.gethostname(), limit=at_once
    )
    told: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        asyncio.get_running_loop().add_signal_handler(number, told.put_nowait, number)
    working = asyncio.create_task(worker.start())
    ready = asyncio.create_task(engines.keep_one_ready())
    asking = asyncio.create_task(told.get())
    await asyncio.wait({working, asking}, return_when=asyncio.FIRST_COMPLETED)
    if asking.done():
        await drain(worker, told, asking.result())
    for task in (ready, working):
        task.cancel()
    ended = await asyncio.gather(working, ready, return_exceptions=True)
    if isinstance(ended[0], Exception):
        raise ended[0]


async def drain(
    worker: DrainingWorker, told: "asyncio.Queue[signal.Signals]", first: signal.Signals
) -> None:
    """Until nothing runs here any more, or the grace is over, or somebody is tired of waiting."""
    worker.takes_runs = False
    clock = asyncio.get_running_loop().time
    asked_at = None if first is signal.SIGUSR1 else clock()
    asked = set[int]()
    while worker.busy:
        if asked_at is not None:
            worker.engines.terminate(asked)
        if asked_at is not None and clock() - asked_at > GRACE_SECONDS:
            return
        try:
            async with asyncio.timeout(0.2):
                again = await told.get()
        except TimeoutError:
            continue
        if asked_at is not None and again is signal.SIGTERM:
            return
        asked_at = asked_at if again is signal.SIGUSR1 else clock()


def main(pool: str, name: str = "", at_once: int = AT_ONCE) -> None:
    """Take runs of that pool until stopped. `name` as Prefect's pages show it; this machine's where empty."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each engine would compile Prefect again
    asyncio.run(work(pool, name, at_once))


if __name__ == "__main__":
    main(sys.argv[1], "", int(sys.argv[2]))
