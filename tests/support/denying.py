"""A way to a registry on which writing to some repositories is denied, as registries do that know only what was made before."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding"}


@contextmanager
def denying(registry: str, ending: str) -> Iterator[str]:
    """Its address. Whatever writes below a repository whose name ends with `ending` gets 403; all else is passed on."""

    class Way(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            content = self.rfile.read(size) if size else self._chunks()
            if f"{ending}/" in self.path and self.command in ("POST", "PUT", "PATCH"):
                denied = b'{"errors": [{"code": "DENIED", "message": "no such repository here"}]}'
                self._send(403, {"Content-Type": "application/json"}, denied)
                return
            told = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
            with httpx.Client(timeout=30) as client:
                url = f"http://{registry}{self.path}"
                got = client.request(self.command, url, headers=told, content=content)
            kept = {k: v for k, v in got.headers.items() if k.lower() not in HOP_BY_HOP}
            if self.command == "HEAD":
                kept["Content-Length"] = got.headers.get("Content-Length", "0")
            self._send(got.status_code, kept, got.content)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def _chunks(self) -> bytes:
            found = b""
            while "chunked" in self.headers.get("Transfer-Encoding", ""):
                size = int(self.rfile.readline(), 16)
                found += self.rfile.read(size)
                self.rfile.readline()
                if not size:
                    break
            return found

        def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Way)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
