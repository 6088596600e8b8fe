"""What evidence costs. `python -m tests.benchmarks.evidence [--quick] [pipeline] [admission] [parallel] [rescan]`

Prints Markdown for README.md one folder up. Needs Linux x86-64, `docker-registry`, Debian's cosign 3 (fetched if it is not
there, or $COSIGN_3), and two idle cores. Without names: all parts.
"""

import os
import platform
import sys
from collections.abc import Sequence

from tasks.adapters.prefect_server import LocalPrefectServer
from tests.benchmarks.evidence import admission, parallel, pipeline, rescan
from tests.benchmarks.evidence.ground import BYTES, Ground, ground

QUICK_BYTES = 10_000_000
PARTS = ("pipeline", "admission", "parallel", "rescan")


def main(arguments: Sequence[str]) -> None:
    quick, wanted = "--quick" in arguments, [one for one in arguments if one in PARTS] or PARTS
    system = f"{platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}"
    print(f"{system}; load before: {_load()}\n", flush=True)
    with ground() as here:
        try:
            for part in wanted:
                print(f"## {part}\n\n{measured(here, part, quick)}", flush=True)
                print(f"Load afterwards: {_load()}\n", flush=True)
        finally:
            LocalPrefectServer(here.home).stop()


def measured(here: Ground, part: str, quick: bool) -> str:
    match part:
        case "pipeline":
            return pipeline.measure(here, 2 if quick else 4, QUICK_BYTES if quick else BYTES)
        case "admission":
            return admission.measure(here, 20 if quick else 200, 100 if quick else 1000)
        case "parallel":
            return parallel.measure(here, 4 if quick else 16)
        case _:
            return rescan.measure(here, 10 if quick else 200)


def _load() -> str:
    return " ".join(f"{one:.1f}" for one in os.getloadavg())


if __name__ == "__main__":
    main(sys.argv[1:])
