"""Real instances behind a splitter: small HTTP servers, each in a process of its own that says who answered."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from tasks.adapters.envoy import Endpoint
from tests.support.asking import ask
from tests.support.engines import free_port

SERVER = """
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    def do_GET(self):
        if self.path.startswith("/slow"):
            time.sleep(2.0)
        body = sys.argv[2].encode()
        self.send_response(500 if self.path.startswith("/bad") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Version", sys.argv[2])
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@dataclass(frozen=True)
class Served:
    """One instance, and its process to kill."""

    endpoint: Endpoint
    process: subprocess.Popen[bytes]


@contextmanager
def serving(*names: tuple[str, str]) -> Iterator[list[Served]]:
    """One server for each (group, instance), ready when this yields."""
    found: list[Served] = []
    try:
        for group, instance in names:
            port = free_port()
            command = [sys.executable, "-c", SERVER, str(port), group]
            endpoint = Endpoint(group, instance, f"127.0.0.1:{port}")
            found.append(Served(endpoint, subprocess.Popen(command)))
        for one in found:
            _until_it_answers(one.endpoint.address)
        yield found
    finally:
        for one in found:
            one.process.kill()
            one.process.wait()


def _until_it_answers(address: str) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            ask(f"http://{address}/", 2)
        except httpx.HTTPError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"{address} never answered")
