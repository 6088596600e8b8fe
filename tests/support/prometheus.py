"""A real Prometheus on a free loopback port, scraping what a test exports, in a folder of its own."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import engines
from tests.support.asking import ask

SCRAPE_SECONDS = 0.25


@dataclass(frozen=True)
class Prometheus:
    """A running one. `freeze` lets it hang as a dying machine does: connections are taken, nothing is answered."""

    url: str
    process: "subprocess.Popen[bytes]"

    def query(self, text: str) -> list[dict[str, Any]]:
        answer = ask(f"{self.url}/api/v1/query", query=text)
        found: list[dict[str, Any]] = answer.raise_for_status().json()["data"]["result"]
        return found

    def freeze(self) -> None:
        """Returns when it has stopped: on a busy machine a thread of it may run on for a moment."""
        os.kill(self.process.pid, signal.SIGSTOP)
        engines.wait_for(self._has_stopped, 10, "Prometheus to stop", every=0.01)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def _has_stopped(self) -> bool:
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        states = [(one / "stat").read_text().rpartition(")")[2].split()[0] for one in threads]
        return all(state == "T" for state in states)

    def stop(self) -> None:
        self.thaw()
        engines.stop(self.process)


@contextmanager
def running_prometheus(
    folder: Path,
    jobs: Mapping[str, Sequence[str]],
    *,
    features: str = "",
    web: str = "",
    scheme: str = "http",
    path: str = "/metrics",
    wait: bool = True,
) -> Iterator[Prometheus]:
    """Skips (in CI: fails) where `prometheus` is not installed. `jobs`: addresses to scrape four times a second, by job; `web`:
    its web configuration (TLS, users), YAML. Ready when everything was scraped once."""
    program = engines.program("prometheus", "prometheus")
    folder.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{engines.free_port()}"
    scraped = [
        {"job_name": job, "metrics_path": path, "static_configs": [{"targets": list(targets)}]}
        for job, targets in jobs.items()
    ]
    every = f"{SCRAPE_SECONDS * 1000:.0f}ms"
    configuration = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": "1m"},
        "scrape_configs": scraped,
    }
    (folder / "prometheus.yml").write_text(json.dumps(configuration))  # JSON is YAML
    command: list[str | Path] = [program, f"--config.file={folder / 'prometheus.yml'}"]
    command += [f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address={address}"]
    command += ["--log.level=warn", *([f"--enable-feature={features}"] if features else [])]
    if web:
        (folder / "web.yml").write_text(web)
        command.append(f"--web.config.file={folder / 'web.yml'}")
    ready = _listens(address) if web else f"http://{address}/-/ready"
    with engines.running(command, folder / "log", ready) as process:
        found = Prometheus(f"{scheme}://{address}", process)
        targets = sum(len(each) for each in jobs.values())
        if wait and not web:
            engines.wait_for(
                lambda: len(found.query("up == 1")) == targets, 20, "the first scrapes", every=0.2
            )
        try:
            yield found
        finally:
            if process.poll() is None:
                found.thaw()  # what is frozen does not hear SIGTERM


def _listens(address: str) -> Callable[[], bool]:
    host, _, port = address.rpartition(":")

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0

    return listens
