"""Hello: a small HTTP service that can be replaced under load without losing a request.

It needs Python 3.11 and what is in requirements.txt. `settings.json` beside this file says how it behaves; a new
version is made by changing it and baking again. The platform gives the port in $PORT, and $HOST to listen elsewhere.
"""

import html
import json
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import humanize

LINGER_SECONDS = 1.0  # after SIGTERM, for requests that are already on their way
GRACE_SECONDS = 8.0  # then for those being answered; below `grace_seconds` of service.yaml
IDLE_SECONDS = 300.0  # longer than proxies keep idle connections, so that they close first
SLOW_MS = (150, 300)

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{greeting} {version}</title>
<style>
  body {{ font: 18px/1.5 system-ui, sans-serif; display: grid; place-content: center; min-height: 95vh;
         color: hsl({hue} 60% 20%); background: hsl({hue} 60% 96%) }}
  b {{ font-size: 4rem }}
</style>
<main>
  <b>{greeting}!</b>
  <p>This is version <strong>{version}</strong>. This copy has answered {requests} requests in {age}.</p>
</main>
</html>
"""


@dataclass(frozen=True)
class Settings:
    """What makes one version differ from another: how it greets, and how it misbehaves.

    `failure_share` of the requests is answered with 500, at even distances: with 0.2 every fifth; only once the copy is
    `faulty_after_seconds` old.

    `delay_ms` is how long an answer usually takes. Two of three take so long give or take `delay_spread` (0.25: a
    quarter; log-normal). `tail_share` of the requests, chosen by chance, takes `tail_factor` times as long: with 0.02
    and 4 the 99th percentile is about four times `delay_ms`. `delay_factor` makes everything so much slower.

    `leak_kb_per_request` is kept in memory of every request, and never given back.
    """

    greeting: str
    version: str
    failure_share: float = 0.0
    delay_ms: float = 0.0
    faulty_after_seconds: float = 0.0
    delay_spread: float = 0.0
    delay_factor: float = 1.0
    tail_share: float = 0.0
    tail_factor: float = 1.0
    leak_kb_per_request: float = 0.0

    @classmethod
    def read(cls, file: Path) -> "Settings":
        return cls(**json.loads(file.read_text(encoding="utf-8")))

    def delay_seconds(self, chance: random.Random) -> float:
        """How long the next answer takes."""
        factor = self.tail_factor if chance.random() < self.tail_share else 1.0
        around = chance.lognormvariate(0.0, self.delay_spread)
        return self.delay_ms / 1000 * self.delay_factor * factor * around


class Hello(BaseHTTPRequestHandler):
    """One connection, in its own thread; HTTP/1.1 keeps it open for many requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = (
        True  # else 40 ms per answer: two small writes meet delayed acknowledgement
    )
    wbufsize = -1  # one write per answer
    timeout = IDLE_SECONDS
    server: "Server"

    def do_GET(self) -> None:
        answers: dict[str, Callable[[], tuple[HTTPStatus, str, str]]] = {
            "/healthz": self._health,
            "/": self._page,
            "/slow": self._slowly,
        }
        path = self.path.partition("?")[0]
        self._answer(*answers.get(path, self._nothing)())

    do_HEAD = do_GET

    def _health(self) -> tuple[HTTPStatus, str, str]:
        if self.server.draining:
            return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", "draining\n"
        return HTTPStatus.OK, "text/plain", "ok\n"

    def _page(self) -> tuple[HTTPStatus, str, str]:
        server = self.server
        if server.settings.delay_ms:
            time.sleep(server.settings.delay_seconds(server.chance))
        server.leak()
        if server.fails_now():
            return (
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "text/plain",
                "this version fails now and then\n",
            )
        return HTTPStatus.OK, "text/html; charset=utf-8", server.page()

    def _slowly(self) -> tuple[HTTPStatus, str, str]:
        time.sleep(random.uniform(*SLOW_MS) / 1000)
        return self._page()

    def _nothing(self) -> tuple[HTTPStatus, str, str]:
        return HTTPStatus.NOT_FOUND, "text/plain", "there are /, /slow and /healthz\n"

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Version", self.server.settings.version)
        if self.server.draining:
            self.send_header("Connection", "close")
        elif self.request_version == "HTTP/1.0" and not self.close_connection:
            self.send_header("Connection", "keep-alive")  # an old client has to be told
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        return f"hello/{self.server.settings.version}"

    def log_message(self, format: str, *args: object) -> None:
        """No line per request: the splitter counts them."""


class Server(ThreadingHTTPServer):
    """Knows its open connections, so that it can end them kindly."""

    request_queue_size = 1024
    daemon_threads = True

    def __init__(self, address: tuple[str, int], settings: Settings) -> None:
        self.settings, self.draining = settings, False
        self.chance, self._kept = random.Random(), list[bytes]()
        self._started, self._asked, self._requests = time.monotonic(), 0, 0
        self._open: set[socket.socket] = set()
        self._change = threading.Condition()
        super().__init__(address, Hello)

    def page(self) -> str:
        with self._change:
            self._requests += 1
        version = self.settings.version
        return PAGE.format(
            greeting=html.escape(self.settings.greeting),
            version=html.escape(version),
            hue=sum(version.encode()) * 137 % 360,
            requests=humanize.intcomma(self._requests),
            age=humanize.naturaldelta(time.monotonic() - self._started),
        )

    def fails_now(self) -> bool:
        share = self.settings.failure_share
        if time.monotonic() - self._started < self.settings.faulty_after_seconds:
            return False
        with self._change:
            self._asked += 1
            return int(self._asked * share) > int((self._asked - 1) * share)

    def leak(self) -> None:
        """Written to, so that the memory is really held."""
        if size := round(1024 * self.settings.leak_kb_per_request):
            self._kept.append(b"." * size)

    def process_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        assert isinstance(request, socket.socket)
        with self._change:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        super().shutdown_request(request)
        with self._change:
            self._open.discard(request)
            self._change.notify_all()

    def handle_error(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """A client that went away is no error of ours; anything else is told with its traceback."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def drain(self) -> None:
        """Answer what is on its way, ask to close (`Connection: close`), stop listening, end what is idle."""
        self.draining = True
        if not self._all_closed(LINGER_SECONDS):
            self._end_idle()
        self.shutdown()
        self._accept_waiting()
        self._end_idle()
        self._all_closed(GRACE_SECONDS - LINGER_SECONDS)

    def _accept_waiting(self) -> None:
        """Closing the listener would reset connections that the kernel has accepted and we have not."""
        self._nobody_waits, self.timeout = False, 0.0
        while not self._nobody_waits and len(self._open) < self.request_queue_size:
            self.handle_request()

    def handle_timeout(self) -> None:
        self._nobody_waits = True

    def _all_closed(self, seconds: float) -> bool:
        with self._change:
            return self._change.wait_for(lambda: not self._open, seconds)

    def _end_idle(self) -> None:
        """Read no more: what was received before is still answered, an idle connection sees its end."""
        with self._change:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RD)
                except OSError:  # closed by the other side meanwhile
                    continue


def main() -> None:
    settings = Settings.read(Path(__file__).with_name("settings.json"))
    address = os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = Server(address, settings)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    print(f"hello {settings.version} listens on {address[0]}:{server.server_port}", flush=True)
    stop.wait()
    server.drain()
    server.server_close()


if __name__ == "__main__":
    main()
