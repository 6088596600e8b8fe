"""The receiver as it is started: a process of its own, on a port of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Started:
    url: str
    process: subprocess.Popen[str]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def receiver_process(log: Path, **settings: str) -> Iterator[Started]:
    """With this environment and `settings`; its words go to `log`."""
    environment = os.environ | {"BAKEWELL_RECEIVER_PORT": "0"} | settings
    with log.open("a") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.receiving"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("listening on http"), log.read_text()
        yield Started(line.split()[-1], process)
    finally:
        process.terminate()
        code = process.wait(20)
        process.stdout.close()
    assert code in (0, -signal.SIGKILL), log.read_text()
