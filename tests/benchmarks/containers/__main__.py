"""What a release to containers costs against a script of docker, trivy and cosign, and how fast users are taken off a bad
version. `python -m tests.benchmarks.containers [release] [back]`

Prints Markdown for README.md beside this folder. Needs root, dockerd and two idle cores.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tasks.journal.events import EventKind
from tests.benchmarks.containers.users import Users
from tests.benchmarks.containers.warm import Worker
from tests.benchmarks.evidence.measuring import table
from tests.benchmarks.release import steps
from tests.e2e.conftest import Answer, Bakewell, Service
from tests.e2e.docker_service import Yard, dockerfile_service, yard
from tests.support.cosign_binaries import cosign
from tests.support.dockerfiles import buildx_folder
from tests.support.scanners import real_trivy

RUNS: Final = 5
STOPPED: Final = 3
RATE: Final = 200
AT_ONCE: Final[dict[str, Any]] = {
    "strategy": {"kind": "all-at-once"},
    "observe": {"watch_seconds": 0},
    "warm_seconds": 0,
}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bkw-") as name, _home(Path(name)) as (bakewell, there):
        folder, parts = Path(name), sys.argv[1:] or ["release", "back"]
        if "release" in parts:
            releases(bakewell, there, dockerfile_service(folder, "bench", there, **AT_ONCE))
        if "back" in parts:
            service = dockerfile_service(folder, "bad", there)
            service.edit(
                lambda spec: spec.update(smoke={"path": "/healthz"})
            )  # it would stop the bad
            ways_back(bakewell, service)


@contextmanager
def _home(folder: Path) -> Iterator[tuple[Bakewell, Yard]]:
    bakewell = Bakewell(folder / "home")
    bakewell.fresh_database()
    with yard(folder / "yard") as there:
        try:
            yield bakewell, there
        finally:
            bakewell("down", "--all")


# ---- against a script ----------------------------------------------------------------------------


def releases(bakewell: Bakewell, there: Yard, service: Service) -> None:
    """Changed each time, so that everything is done; in turn with the script, which builds the same folder."""
    _done(bakewell("release", service.folder))
    ours, warm, bare, shares = [], [], [], []
    with Worker(bakewell) as worker:
        service.version("warming")
        worker.release(service.folder)
        for number in range(2, 2 + RUNS):
            service.version(number)
            bare.append(_bare(bakewell, there, service))
            clock = time.time()
            _done(bakewell("release", service.folder))
            ours.append(time.time() - clock)
            service.version(f"{number}.1")
            clock = time.time()
            warm.append(worker.release(service.folder).seconds)
            shares.append(steps({**os.environ, **bakewell.environment}, clock, service.name))
    script = [sum(one.values()) for one in bare]
    rows = [
        (name, _spread(took), f"{statistics.median(took) / statistics.median(script):.2f} x")
        for name, took in (
            ("docker build, push, trivy, cosign, docker run", script),
            ("`bakewell release` of a changed Dockerfile service, two containers", ours),
            ("the same by a process that is there already", warm),
        )
    ]
    print(table(("what", f"seconds, median of {RUNS} (min - max)", "script"), rows))
    print(table(("step of a release by the process", "seconds"), _medians(shares)))
    print(table(("step of the script", "seconds"), _medians(bare)))


def _bare(bakewell: Bakewell, there: Yard, service: Service) -> dict[str, float]:
    script = Path(__file__).with_name("bare.sh")
    plugins = bakewell.home / "docker" / "cli-plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    if not (plugins / "docker-buildx").exists():
        (plugins / "docker-buildx").symlink_to(buildx_folder() / "docker-buildx")
    cache, keys = bakewell.home / "trivy", bakewell.home / "keys"
    repository = f"{there.registry.host}/bare"
    done = subprocess.run(
        ["bash", script, service.folder, repository, cache, keys, cosign(3)],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "COSIGN_PASSWORD": "",
            "DOCKER_CONFIG": str(plugins.parent),
            "PATH": f"{Path(real_trivy()).parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
    )
    if done.returncode:
        raise SystemExit(f"{script.name}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return {
        name: float(value)
        for name, value in (line.split("\t") for line in done.stdout.splitlines())
    }


# ---- the way back --------------------------------------------------------------------------------


def ways_back(bakewell: Bakewell, service: Service) -> None:
    """At 200 requests/s: when the last answer of a version that only fails came, and the last of one that is rolled back."""
    _done(bakewell("release", service.folder))
    (place,) = bakewell("status", service.name, "--json").json
    stopped, returned = [], []
    for number in range(1, 1 + RUNS):
        good, bad = f"{number}.0", f"{number}.1"
        with Users(place["endpoint"], RATE) as users:
            service.version(good, failure_share=0.0)
            _done(bakewell("release", service.folder))
            service.version(bad, failure_share=1.0)
            if (code := bakewell("release", service.folder).code) != STOPPED:
                raise SystemExit(f"a version that only fails must be stopped; exit code {code}")
            began = time.time()
            _done(bakewell("rollback", service.name, "production", "--reason", "a benchmark"))
            took = time.time() - began
        stopped.append((users.span(bad), _to_verdict(bakewell, service, users.first(bad))))
        returned.append((users.last(good) - began, took))
    rows = [
        ("from its first bad answer to its last", _spread([span for span, _ in stopped])),
        ("of that, until the judge had its evidence", _spread([need for _, need in stopped])),
        ("the rest", _spread([span - need for span, need in stopped])),
        (
            "from `bakewell rollback` to the last answer of the newer",
            _spread([one for one, _ in returned]),
        ),
        ("from `bakewell rollback` to its end", _spread([one for _, one in returned])),
    ]
    print(table((f"at {RATE} requests/s", f"seconds, median of {RUNS} (min - max)"), rows))


def _to_verdict(bakewell: Bakewell, service: Service, first: float) -> float:
    """Seconds from that moment to the newest verdict."""
    events = bakewell("history", service.name, "--json", "--limit", "40").json
    newest = next(one for one in events if one["kind"] == EventKind.VERDICT_GIVEN.value)
    return datetime.fromisoformat(newest["at"]).timestamp() - first


def _done(answer: Answer) -> None:
    if answer.code:
        raise SystemExit(f"exit code {answer.code}\n{answer.out}\n{answer.err}")


def _spread(figures: Sequence[float]) -> str:
    return f"{statistics.median(figures):.2f} ({min(figures):.2f} - {max(figures):.2f})"


def _medians(laps: Sequence[Mapping[str, float]]) -> list[tuple[str, str]]:
    return [
        (name, f"{statistics.median(one.get(name, 0.0) for one in laps):.2f}") for name in laps[0]
    ]


if __name__ == "__main__":
    main()
