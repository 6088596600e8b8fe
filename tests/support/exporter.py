"""What Prometheus scrapes in tests: instances whose counters a test sets, and the protobuf that native histograms need."""

import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TEXT = "text/plain; version=0.0.4"
PROTOBUF = (
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)
BOUNDS = (0.1, 0.5)


@dataclass
class Exporter:
    """One instance. `page` is what its /metrics says, as a test wrote it; None: it answers 500."""

    address: str
    page: bytes | None = b""
    kind: str = TEXT
    scrapes: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def says(self, text: str) -> None:
        self.page, self.kind = text.encode(), TEXT

    def served(self, good: int, bad: int = 0, slow: int = 0) -> None:
        """Of `http-server` metrics: so many more requests, all within 0.1 s but `slow` of them, which took 0.3 s."""
        for name, more in (("200", good), ("500", bad), ("slow", slow)):
            self.counts[name] = self.counts.get(name, 0) + more
        self.says(page(self.counts))


def page(counts: Mapping[str, int]) -> str:
    """The text of an instance that answered so often. `slow` of them took 0.3 s."""
    total, slow = counts["200"] + counts["500"], counts["slow"]
    lines = [f'http_requests_total{{code="{code}"}} {counts[code]}' for code in ("200", "500")]
    buckets = {"0.1": total - slow, "0.5": total, "+Inf": total}
    name = "http_request_duration_seconds_bucket"
    lines += [f'{name}{{le="{bound}"}} {count}' for bound, count in buckets.items()]
    return "\n".join(lines) + "\n"


@contextmanager
def exporting(count: int) -> Iterator[list[Exporter]]:
    """So many instances that can be scraped, on loopback ports of their own."""
    servers = [_server() for _ in range(count)]
    try:
        yield [exporter for exporter, _ in servers]
    finally:
        for _, server in servers:
            server.shutdown()
            server.server_close()


def _server() -> tuple[Exporter, ThreadingHTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            exporter.scrapes += 1
            said = exporter.page
            self.send_response(500 if said is None else 200)
            self.send_header("Content-Type", exporter.kind)
            self.send_header("Content-Length", str(len(said or b"")))
            self.end_headers()
            self.wfile.write(said or b"")

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    exporter = Exporter(f"127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return exporter, server


# ---- protobuf: only what a counter and a native histogram are made of ----------------------------

COUNTER, HISTOGRAM = 0, 4


def native(
    requests: Mapping[str, int], schema: int, first: int, counts: Sequence[int], zero: int = 0
) -> bytes:
    """`http_requests_total` by code, and a native histogram whose buckets begin at index `first`: bucket i holds what is
    in (base^(i-1), base^i] seconds, base = 2^(2^-schema)."""
    counters = b"".join(
        _part(4, _part(1, _text(1, "code") + _text(2, code)) + _part(3, _double(1, count)))
        for code, count in requests.items()
    )
    deltas = [now - before for before, now in zip([0, *counts], counts, strict=False)]
    spans = _part(12, _number(1, _zigzag(first)) + _number(2, len(counts)))
    histogram = _number(1, sum(counts) + zero) + _double(2, 1.0) + _number(5, _zigzag(schema))
    histogram += _double(6, 1e-9) + _number(7, zero) + spans
    histogram += b"".join(_number(13, _zigzag(delta)) for delta in deltas)
    families = (
        _text(1, "http_requests_total") + _number(3, COUNTER) + counters,
        _text(1, "http_request_duration_seconds")
        + _number(3, HISTOGRAM)
        + _part(4, _part(7, histogram)),
    )
    return b"".join(_varint(len(family)) + family for family in families)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _zigzag(value: int) -> int:
    return value * 2 if value >= 0 else -value * 2 - 1


def _number(field_number: int, value: int) -> bytes:
    return _varint(field_number << 3) + _varint(value)


def _double(field_number: int, value: float) -> bytes:
    return _varint(field_number << 3 | 1) + struct.pack("<d", value)


def _part(field_number: int, content: bytes) -> bytes:
    return _varint(field_number << 3 | 2) + _varint(len(content)) + content


def _text(field_number: int, text: str) -> bytes:
    return _part(field_number, text.encode())
