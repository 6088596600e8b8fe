"""What a release costs, against an empty flow run and against bare commands. `python -m tests.benchmarks.release`

Prints a Markdown table for README.md beside this file. Needs Linux x86-64 (Trivy and Envoy wheels) and two idle cores.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tasks.adapters.prefect_server import LocalPrefectServer, client_environment
from tests.support.trivy_db import write_database

EXAMPLE = Path(__file__).parents[2] / "deployments" / "services" / "hello"
RUNS = 5
EMPTY_FLOW = """
from prefect import flow, task
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
@task
def nothing() -> int: return 1
@flow
def empty() -> int: return nothing()
with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}): empty()
"""

RELEASE_FLOW = """
import sys
from pathlib import Path
from flows.run import prefect_is_there
with prefect_is_there():
    from flows.release import ReleaseRequest, release
    release(ReleaseRequest(folder=Path(sys.argv[1])))
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bkw-") as folder:
        home = Path(folder)
        write_database(home / "trivy" / "db", updated_at=datetime.now(UTC))
        api = LocalPrefectServer(home).ensure(lambda line: None)
        environment = {
            **os.environ,
            **client_environment(api, home),
            "BAKEWELL_HOME": str(home),
            "PREFECT_LOGGING_LEVEL": "ERROR",
        }
        try:
            measure(home, environment)
        finally:
            command(environment, "down", "--all")


def measure(home: Path, environment: dict[str, str]) -> None:
    service = example(home)
    command(environment, "release", service)
    python = [sys.executable, "-c", EMPTY_FLOW]
    empty = seconds(
        lambda: subprocess.run(python, env=environment, check=True, capture_output=True)
    )
    unchanged = seconds(lambda: command(environment, "release", service))
    flow = [sys.executable, "-c", RELEASE_FLOW, str(service)]
    by_worker = seconds(
        lambda: subprocess.run(flow, env=environment, check=True, capture_output=True)
    )
    status = seconds(lambda: command(environment, "status"))
    changed, shares = [], []
    for number in range(2, 2 + RUNS):
        version(service, number)
        began = time.monotonic()
        command(environment, "release", service)
        changed.append(time.monotonic() - began)
        shares.append(steps(environment, began_at=time.time() - changed[-1]))
    bare = [bare_steps(home, service) for _ in range(RUNS)]
    print("| what | seconds, median of", RUNS, "(min - max) |\n|---|---|")
    for name, figures in (
        ("empty one-task flow", empty),
        ("release, nothing changed", unchanged),
        ("the flow alone, nothing changed, as a worker runs it", by_worker),
        ("release, changed, without observation", changed),
        ("the same steps by bare commands", [sum(one.values()) for one in bare]),
        ("`bakewell status`", status),
    ):
        print(
            f"| {name} | {statistics.median(figures):.2f} ({min(figures):.2f} - {max(figures):.2f}) |"
        )
    print(
        f"\nno change / empty flow: {statistics.median(unchanged) / statistics.median(empty):.2f} x"
        f" (the flow alone: {statistics.median(by_worker) / statistics.median(empty):.2f} x)"
    )
    overhead = statistics.median(changed) - statistics.median(sum(one.values()) for one in bare)
    print(f"changed minus bare steps: {overhead:.2f} s")
    print(
        f"peak memory of the largest process: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MB"
    )
    print("\n| step of a changed release | seconds |\n|---|---|")
    for name in shares[0]:
        print(f"| {name} | {statistics.median(one.get(name, 0.0) for one in shares):.2f} |")
    print("\n| bare step | seconds |\n|---|---|")
    for name in bare[0]:
        print(f"| {name} | {statistics.median(one[name] for one in bare):.2f} |")


def seconds(action: Callable[[], Any]) -> list[float]:
    figures = []
    for _ in range(RUNS):
        began = time.monotonic()
        action()
        figures.append(time.monotonic() - began)
    return figures


def command(environment: dict[str, str], *arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "flows", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(
            f"bakewell {arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
    return done.stdout


def example(home: Path) -> Path:
    """One environment, all at once: no observation, every other step."""
    import shutil

    folder = home / "service"
    shutil.copytree(EXAMPLE, folder)
    path, yaml = folder / "service.yaml", YAML()
    spec = yaml.load(path.read_text())
    spec["service"] = "bench"
    spec["environments"] = [
        {
            "name": "production",
            "platform": "process",
            "replicas": 2,
            "strategy": {"kind": "all-at-once"},
            "observe": {"watch_seconds": 0},
        }
    ]
    yaml.dump(spec, path)
    return folder


def version(folder: Path, number: int) -> None:
    path = folder / "settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": str(number)}))


def steps(environment: dict[str, str], began_at: float, service: str = "bench") -> dict[str, float]:
    """Where the time of the newest release went, by the journal's clock."""
    events = json.loads(command(environment, "history", service, "--json", "--limit", "40"))
    newest = events[0]["release"]
    mine = [event for event in reversed(events) if event["release"] == newest]
    marks = [("before the flow and bake", began_at)]
    marks += [(event["kind"], datetime.fromisoformat(event["at"]).timestamp()) for event in mine]
    return {
        f"{before[0]} → {after[0]}" if before[0] != marks[0][0] else marks[0][0]: after[1]
        - before[1]
        for before, after in pairwise(marks)
    }


def bare_steps(home: Path, folder: Path) -> dict[str, float]:
    """tar + gzip, trivy, a signature, two processes started and asked, and stopped: by a shell, one after the other."""
    script = Path(__file__).with_name("bare.sh")
    done = subprocess.run(
        ["bash", script, folder, home],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    if done.returncode:
        raise SystemExit(
            f"{script.name}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
    return {
        name: float(value)
        for name, value in (line.split("\t") for line in done.stdout.splitlines())
    }


if __name__ == "__main__":
    main()
