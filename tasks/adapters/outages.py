"""A short memory of who did not answer, so that not every read waits for the same silence again."""

import logging
import time
from collections.abc import Callable

LOGGER = logging.getLogger("bakewell.mirrors")
REMEMBERED_SECONDS = 30.0


class Outages:
    """Of this process; thread-safe. By registry (one host serves many repositories), or by layout folder."""

    def __init__(
        self, seconds: float = REMEMBERED_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds, self._clock = seconds, clock
        self._until: dict[str, float] = {}

    def remember(self, repository: str, why: object) -> None:
        """It did not answer just now. Told once for each outage, not for each read."""
        if not self.is_down(repository):
            LOGGER.warning("%s does not answer, others are read instead: %s", repository, why)
        self._until[_place(repository)] = self._clock() + self._seconds

    def is_down(self, repository: str) -> bool:
        """Whether it did not answer a few seconds ago."""
        return self._until.get(_place(repository), 0.0) > self._clock()


def _place(repository: str) -> str:
    return repository if repository.startswith("layout:") else repository.partition("/")[0]
