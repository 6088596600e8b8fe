"""A server that answers what a test recorded, and remembers what it was asked: for answers that no real server gives on demand."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


@dataclass
class Recorded:
    """`pause` is waited before each of the `parts` of the body; `sent` counts those that were taken. `date`: its clock, if it shall not be ours."""

    url: str = ""
    status: int = 200
    parts: Sequence[bytes] = (b"",)
    pause: float = 0.0
    date: str | None = None
    location: str = ""
    sent: int = 0
    authorizations: list[str] = field(default_factory=list)
    forms: list[dict[str, list[str]]] = field(default_factory=list)


@contextmanager
def answering() -> Iterator[Recorded]:
    """One such server, on a loopback port of its own."""
    recorded = Recorded()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            recorded.authorizations.append(self.headers.get("Authorization", ""))
            recorded.forms.append(parse_qs(form))
            self.send_response(recorded.status)
            if recorded.location:
                self.send_header("Location", recorded.location)
            self.send_header("Content-Length", str(sum(map(len, recorded.parts))))
            self.end_headers()
            self._send()

        def do_GET(self) -> None:
            self.send_response(recorded.status)
            self.send_header("Content-Length", str(sum(map(len, recorded.parts))))
            self.end_headers()
            self._send()

        def _send(self) -> None:
            try:
                for part in recorded.parts:
                    time.sleep(recorded.pause)
                    self.wfile.write(part)
                    self.wfile.flush()
                    recorded.sent += 1
            except OSError:
                pass  # who asked has had enough

        def date_time_string(self, timestamp: float | None = None) -> str:
            return recorded.date or super().date_time_string(timestamp)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    recorded.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield recorded
    finally:
        server.shutdown()
        server.server_close()
