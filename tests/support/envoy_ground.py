"""A home with room for one Envoy, questions as its users ask them, and what it counted."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tasks.adapters import process_table
from tasks.adapters.envoy import EnvoyMetrics, binary, proxy_of
from tasks.adapters.process_table import Running
from tasks.errors import RefusedError
from tasks.model import Environment, InstanceTraffic
from tests.support.engines import missing

HERE = Environment("hello", "envoy", "process")


@contextmanager
def envoy_home(parent: Path) -> Iterator[Path]:
    """A folder with a space in its name, as users have them; its Envoy ends with the test."""
    try:
        binary()
    except RefusedError as error:
        missing(str(error))
    folder = parent / "a home"
    folder.mkdir()
    yield folder
    proxy_of(folder, HERE).stop()


def ask(port: int, path: str = "/", times: int = 1) -> Counter[str]:
    """Who answered: the group, or the status where it is no 200."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        answers = [client.get(path) for _ in range(times)]
    return Counter(a.text if a.status_code == 200 else str(a.status_code) for a in answers)


def traffic(home: Path) -> dict[str, InstanceTraffic]:
    """What Envoy counted, by instance. A request is counted a moment after its user has the answer."""
    time.sleep(0.1)
    return {one.instance: one for one in EnvoyMetrics(home).read(HERE).instances}


def envoy_of(home: Path) -> Running:
    marks = {"BAKEWELL_HOME": str(home), "BAKEWELL_SPLITTER": "envoy"}
    (found,) = process_table.find(marks)
    return found


def kill_envoy(home: Path) -> None:
    found = envoy_of(home)
    os.kill(found.pid, signal.SIGKILL)
    while process_table.is_running(found):
        time.sleep(0.01)
