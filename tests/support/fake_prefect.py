"""A server that behaves like the few ends of Prefect's API that deliver pushes, and can be down. Idempotency keys as Prefect
has them: the same key gives the first run, whatever else is asked (measured, tests/adapters/test_deliver_prefect.py)."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FakePrefect:
    """`runs` by their key, in the order in which they were made. `is_down`: answers 503. `refuses`: answers 409."""

    url: str = ""
    is_down: bool = False
    refuses: bool = False
    has_deployment: bool = True
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    creations: int = 0

    def end_all(self, state: str = "COMPLETED") -> None:
        for run in self.runs.values():
            run["state_type"], run["state_name"] = state, state.title()

    def run(self, identity: str) -> dict[str, Any] | None:
        return next((one for one in self.runs.values() if one["id"] == identity), None)

    def commits(self) -> list[str]:
        return [one["parameters"]["request"]["commit"] for one in self.runs.values()]

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if self.is_down:
            return 503, {}
        parts = path.strip("/").split("/")[1:]
        if parts[:2] == ["deployments", "name"]:
            return (200, {"id": "d"}) if self.has_deployment else (404, {})
        if parts[-1] == "create_flow_run":
            return self._create(body)
        if (found := self.run(parts[1])) is None:
            return 404, {}
        if parts[-1] == "set_state":
            self.cancelled.append(found["id"])
            found["state_type"] = found["state_name"] = "CANCELLED"
        return 200, found

    def _create(self, body: dict[str, Any]) -> tuple[int, Any]:
        if self.refuses:
            return 409, {"detail": "Validation failed for field 'request'"}
        self.creations += 1
        key = body["idempotency_key"]
        number = len(self.runs) + 1
        name = body.get("name") or f"name-{number}"
        made = {"id": f"run-{number}", "name": name, "parameters": body["parameters"]}
        made |= {"state_type": "SCHEDULED", "state_name": "Scheduled", "tags": body["tags"]}
        made["created"] = datetime.now(UTC).isoformat()
        return 201, self.runs.setdefault(key, made)


@contextmanager
def fake_prefect() -> Iterator[FakePrefect]:
    prefect, lock = FakePrefect(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            with lock:
                status, said = prefect.answer(self.command, self.path, body)
            raw = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_POST = do_GET

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    prefect.url = f"http://127.0.0.1:{server.server_address[1]}/api"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield prefect
    finally:
        server.shutdown()
        server.server_close()
