"""How fast the receiver answers 1,000 pushes in 10 s while Prefect is down, and what they cost it:

python -m tests.benchmarks.operations.receiver [PUSHES [SECONDS]]
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tasks.pushes import Forge
from tests.support.fake_prefect import fake_prefect
from tests.support.forge import (
    SECRET,
    VARIABLE,
    generic_push,
    repositories_yaml,
    repository,
    signed,
)
from tests.support.receiver_process import receiver_process
from tests.support.receiving import URL, commit
from tests.support.storm import message, storm


def pushed() -> bytes:
    body = generic_push(URL, commit(), paths=["cart/x"])
    return message(body, signed(Forge.GENERIC, body))


def main(pushes: int = 1_000, seconds: float = 10.0) -> None:
    with tempfile.TemporaryDirectory() as folder, fake_prefect() as prefect:
        home = Path(folder)
        file = repositories_yaml(home / "repositories.yaml", repository("team", URL))
        settings = {
            "BAKEWELL_HOME": folder,
            "BAKEWELL_REPOSITORIES": str(file),
            VARIABLE: SECRET,
            "BAKEWELL_RECEIVER_PER_MINUTE": "1000000",
            "PREFECT_API_URL": prefect.url,
        }
        prefect.is_down = True
        with receiver_process(home / "log", **settings) as receiver:
            process = psutil.Process(receiver.process.pid)
            idle = process.cpu_times()
            begin = time.monotonic()
            found = asyncio.run(
                storm(receiver.url, [pushed() for _ in range(pushes)], seconds, 500)
            )
            took, used = time.monotonic() - begin, process.cpu_times()
            memory = process.memory_info().rss / 1e6
    ranked = sorted(one.seconds * 1000 for one in found)
    cpu = (used.user + used.system - idle.user - idle.system) * 1000 / pushes
    accepted = sum(one.status == 202 for one in found)
    print(
        f"{accepted} of {pushes} accepted in {took:.1f} s; answered in p50 {ranked[pushes // 2]:.0f} ms,"
        f" p99 {ranked[pushes * 99 // 100]:.0f} ms, worst {ranked[-1]:.0f} ms; {cpu:.1f} ms of processor a push;"
        f" {memory:.0f} MB; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    main(*(int(one) for one in sys.argv[1:]))
