"""A release as a worker does it that is there already: flows imported, Prefect's server up, one release done before.

As a program (`python -m tests.benchmarks.containers.warm`): releases each folder that it reads, a line each, and says how
many seconds that took, processor seconds of this process and its children beside them.
"""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.benchmarks.evidence.measuring import Cost, cost_of
from tests.e2e.conftest import Bakewell


class Worker:
    """The program, in a process of its own, in the home of `bakewell`."""

    def __init__(self, bakewell: Bakewell) -> None:
        self._bakewell = bakewell

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            env={**self._bakewell.environment, "PREFECT_LOGGING_LEVEL": "ERROR"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def release(self, folder: Path) -> Cost:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(folder, file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line.startswith("{"):
                return Cost(**json.loads(line))
        raise SystemExit(f"the worker ended with {self._process.wait()}; see above")


def main() -> None:
    from flows.run import prefect_is_there

    with prefect_is_there():
        from flows.release import ReleaseRequest, release

        for line in sys.stdin:
            request = ReleaseRequest(folder=Path(line.strip()))
            cost = cost_of(lambda request=request: release(request))  # type: ignore[misc]
            print(json.dumps(asdict(cost)), flush=True)


if __name__ == "__main__":
    main()
