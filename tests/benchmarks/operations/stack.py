"""What a whole installation costs while nothing is released, and how long a push waits for its first task:

python -m tests.benchmarks.operations.stack [PUSHES [IDLE_SECONDS]]

`bakewell up` with everything, the receiver too; then real `git push`es with a delivery like GitHub's, one after the other. From
the receiver's answer to the begin of the first task that Prefect knows of the release's run. Prints Markdown tables.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil

from flows.installation import state_of
from tasks.adapters.parts import parts_of
from tests.e2e.conftest import Bakewell, Service, copy_of_example, home_of_its_own
from tests.e2e.operations.pushing import bare_repository, deliver, push, receiver_of, told_of_pushes
from tests.support.engines import wait_for

SETTLING_SECONDS = 20.0
"""After `up`, and between releases: an engine is got ready for the next run."""


def main(pushes: int = 10, idle_seconds: float = 120.0) -> None:
    with tempfile.TemporaryDirectory(prefix="bkw-stack-") as folder, home_of_its_own() as home:
        origin = bare_repository(Path(folder))
        bakewell = told_of_pushes(home, origin, Path(folder))
        up = bakewell("up", "--detach", "--json", seconds=300)
        assert up.code == 0, up.out + up.err
        time.sleep(SETTLING_SECONDS)
        print(idle(bakewell, idle_seconds), flush=True)
        if not pushes:
            return
        (Path(folder) / "work").mkdir()
        service = copy_of_example(Path(folder) / "work", "shop")
        service.edit(at_once)
        waits = list(latencies(bakewell, service, origin, up.json["api"], pushes))
    ranked = sorted(waits)
    print(
        f"accepted push to first task: median {median(ranked):.2f} s, best {ranked[0]:.2f}, worst {ranked[-1]:.2f},"
        f" of {len(ranked)}"
    )


def at_once(spec: Any) -> None:
    """The shortest way: what is measured is over before the first instance starts."""
    (place,) = [one for one in spec["environments"] if one["name"] == "production"]
    place.update(strategy={"kind": "all-at-once"}, warm_seconds=0)
    spec["environments"] = [place]


# ---- idle ------------------------------------------------------------------------------------------


def idle(bakewell: Bakewell, seconds: float) -> str:
    """Memory of each part, whole (RSS) and with what is shared divided (PSS), and its share of one core over that time. An
    engine that a schedule took meanwhile is not there any more: the one that is ready then counts."""
    before = {pid: _used(pid) for pid, _ in _processes(bakewell)}
    begun = time.monotonic()
    time.sleep(seconds)
    took, found = time.monotonic() - begun, dict(_processes(bakewell))
    rows: dict[str, list[float]] = {}
    for pid, part in found.items():
        with suppress(psutil.NoSuchProcess):
            memory = psutil.Process(pid).memory_full_info()
            row = rows.setdefault(part, [0.0, 0.0, 0.0])
            now = (
                memory.rss / 1e6,
                memory.pss / 1e6,
                100 * (_used(pid) - before.get(pid, 0.0)) / took,
            )
            rows[part] = [was + more for was, more in zip(row, now, strict=True)]
    rows["all"] = [sum(one) for one in zip(*rows.values(), strict=True)]
    lines = ["| part | RSS | PSS | of one core |", "|---|--:|--:|--:|"]
    lines += [
        f"| {part} | {rss:.0f} MB | {pss:.0f} MB | {cpu:.1f} % |"
        for part, (rss, pss, cpu) in rows.items()
    ]
    return "\n".join(lines)


def _processes(bakewell: Bakewell) -> Iterator[tuple[int, str]]:
    """Each process of the installation with the part it belongs to; children belong to their parent's."""
    state = state_of(bakewell.home)
    assert state is not None
    named = {one.pid: one.part for one in parts_of(bakewell.home)} | {state.pid: "supervisor"}
    for process in bakewell.processes():
        pid = process.pid
        if pid not in named:
            with suppress(psutil.NoSuchProcess):
                named[pid] = (
                    "Prefect server" if "BAKEWELL_PREFECT_SERVER" in process.environ() else "other"
                )
    yield from named.items()


def _used(pid: int) -> float:
    """Seconds of processor."""
    with suppress(psutil.NoSuchProcess):
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    return 0.0


# ---- latency -----------------------------------------------------------------------------------------


def latencies(
    bakewell: Bakewell, service: Service, origin: Path, api: str, pushes: int
) -> Iterator[float]:
    """Seconds from the receiver's answer to the first task, of each push."""
    for number in range(1, pushes + 1):
        service.version(number)
        commit = push(service, origin)
        answer = deliver(receiver_of(bakewell), origin, commit)
        accepted = time.time()
        assert answer.status_code == 202, answer.text
        wait_for(partial(_has_begun, api, commit), 60, "the first task", 0.5)
        waited = _first_task(api, commit) - accepted
        print(f"push {number}: {waited:.2f} s", flush=True)
        yield waited
        wait_for(lambda: not _going_on(api), 180, "the release's end", 1)
        time.sleep(SETTLING_SECONDS)


def _has_begun(api: str, commit: str) -> bool:
    return _first_task(api, commit) > 0


def _first_task(api: str, commit: str) -> float:
    """When it began: seconds since the epoch; 0.0 before. Of the run that releases that commit."""
    for run in _asked(api, "flow_runs", {}):
        if commit in str(run["parameters"]):
            wanted = {"flow_runs": {"id": {"any_": [run["id"]]}}}
            begun = [one["start_time"] for one in _asked(api, "task_runs", wanted)]
            return min((_seconds(one) for one in begun if one), default=0.0)
    return 0.0


def _going_on(api: str) -> bool:
    states = {"state": {"type": {"any_": ["PENDING", "RUNNING"]}}}
    return bool(_asked(api, "flow_runs", {"flow_runs": states}))


def _asked(api: str, what: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """On SQLite Prefect does not answer now and then, and wants to be asked again."""
    end = time.monotonic() + 120
    while True:
        try:
            answer = httpx.post(f"{api}/{what}/filter", json={**wanted, "limit": 200}, timeout=5)
            found: list[dict[str, Any]] = answer.raise_for_status().json()
        except httpx.HTTPError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return found


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    main(*(int(one) for one in sys.argv[1:]))
