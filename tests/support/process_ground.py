"""The process platform as a Ground: real processes from real images, behind the real Envoy."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.adapters import process_table
from tasks.adapters.envoy import binary
from tasks.adapters.layout import LayoutStore
from tasks.adapters.process import ProcessFleet
from tasks.bake.bakery import bake
from tasks.errors import RefusedError
from tasks.model import Artifact, Environment
from tasks.ports import ArtifactStore
from tests.support.baking import service
from tests.support.engines import missing
from tests.support.grounds import LAST_WORDS, Behaviour, Ground

SERVER = """
import http.server, json, os, pathlib, signal, sys, time
version = pathlib.Path(__file__).with_name("version").read_text()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(1.0)
        found = json.dumps(dict(os.environ, cwd=os.getcwd())) if self.path == "/env" else version
        body = found.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Version", version)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
print("serving", version, flush=True)
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
NEVER_READY = f"""
import time
print({LAST_WORDS!r}, flush=True)
time.sleep(1000)
"""


def open_store(repository: str) -> ArtifactStore:
    return LayoutStore(Path(repository.removeprefix("layout:")))


def make_artifact(home: Path, version: str, behaviour: Behaviour = Behaviour.HEALTHY) -> Artifact:
    """Bake a small HTTP service that answers its version, or one that never answers."""
    folder = home / "source" / f"{version}-{behaviour.value.replace(' ', '-')}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.py").write_text(SERVER if behaviour is Behaviour.HEALTHY else NEVER_READY)
    (folder / "version").write_text(version)
    spec = service(
        files={"main.py": "/app/main.py", "version": "/app/version"},
        command=["python3", "/app/main.py"],
        environment={
            "WHERE": "/app:/nowhere",
            "COLOUR": "blue",
            "ASKED": "http://tmp:80/app",
            "ABOVE": "/../../app",
        },
        grace_seconds=2,
    )
    return bake(spec, folder, LayoutStore(home / "artifacts"), home / "cache").artifact


def kill(address: str) -> None:
    """SIGKILL the instance that listens there, and wait until it is gone."""
    port = address.rpartition(":")[2]
    for one in process_table.find({"PORT": port}):
        os.kill(one.pid, signal.SIGKILL)
        while process_table.is_running(one):
            time.sleep(0.01)


@contextmanager
def process_ground(
    folder: Path, stores: Callable[[str], ArtifactStore] = open_store
) -> Iterator[Ground]:
    try:
        binary()
    except RefusedError as error:
        missing(str(error))
    home = Path(tempfile.mkdtemp(prefix="process-", dir=folder))
    environment = Environment("hello", "contract", "process", ready_seconds=2)

    def made(version: str, behaviour: Behaviour) -> Artifact:
        return make_artifact(home, version, behaviour)

    yield Ground(ProcessFleet(home, stores), environment, made, kill)
    left = process_table.find({"BAKEWELL_HOME": str(home)})
    for one in left:
        process_table.stop(one, 0)
    shutil.rmtree(home, ignore_errors=True)
