"""Users whose every answer is written down with its moment: a second's totals are too coarse for what takes less than two."""

import http.client
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

CONNECTIONS: Final = 8


@dataclass(frozen=True)
class Answered:
    """`at` is seconds since 1970; `version` is empty where the answer named none."""

    at: float
    version: str
    status: int


class Users:
    """Ask `url` `rate` times a second, by eight connections, until the block is left."""

    def __init__(self, url: str, rate: float) -> None:
        self._url, self._every = urlsplit(url), CONNECTIONS / rate
        self._answers: list[Answered] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CONNECTIONS)]

    def __enter__(self) -> Self:
        for one in self._threads:
            one.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        for one in self._threads:
            one.join()

    def first(self, version: str) -> float:
        return min(one.at for one in self._answers if one.version == version)

    def last(self, version: str) -> float:
        return max(one.at for one in self._answers if one.version == version)

    def span(self, version: str) -> float:
        """Seconds from its first answer to its last."""
        return self.last(version) - self.first(version)

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self._url.netloc, timeout=10)
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due += self._every
            connection.request("GET", "/")
            answer = connection.getresponse()
            answer.read()
            self._answers.append(
                Answered(time.time(), answer.getheader("x-version", ""), answer.status)
            )
        connection.close()
