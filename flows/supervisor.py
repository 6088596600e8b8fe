"""The supervisor: starts what an installation consists of, looks after it, and stops it in the right order.

It holds nothing that anybody needs. Killed, its parts go on; the next supervisor finds them by their marks and takes them over.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

from flows.installation import PartState, UpState, remember_state, the_only_one
from flows.parts import RECEIVER_PORT, Part, Settings, parts_for
from flows.stopping import stop_parts
from flows.story import Tone, tell
from tasks import platforms
from tasks.adapters.parts import (
    PartProcess,
    answers,
    ended_well,
    parts_of,
    remark_of,
    silent_seconds,
    start_part,
    stop_part,
    words_of,
)
from tasks.adapters.prefect_server import LocalPrefectServer, client_environment
from tasks.errors import TransientError
from tasks.operate.rules import PartLife, Step, next_step, pause_seconds

ROUND_SECONDS: Final = 0.5
SERVER_EVERY_SECONDS: Final = 5.0
POLL_SECONDS: Final = "1"


@dataclass
class Kept:
    """A part, its process, and how it went with it."""

    part: Part
    process: PartProcess | None = None
    life: PartLife = field(default_factory=PartLife)
    healthy: bool = False
    note: str = ""


class Supervisor:
    """One for each home folder (`supervise` sees to that)."""

    def __init__(self, settings: Settings) -> None:
        self._home = platforms.home()
        self._server = LocalPrefectServer(self._home)
        self._settings = settings
        self._kept = [Kept(part) for part in parts_for(settings)]
        self._api = ""
        self._looked = float("-inf")
        self._since = time.time()

    @property
    def healthy(self) -> bool:
        return bool(self._api) and all(one.healthy or one.life.done for one in self._kept)

    def look(self) -> None:
        """Once around: the server first, for nothing begins without it."""
        if time.monotonic() - self._looked > SERVER_EVERY_SECONDS:
            self._look_after_server()
            self._looked = time.monotonic()
        if self._api:
            for one in self._kept:
                self._look_after(one)
        remember_state(self._home, self.state())

    def adopt(self) -> None:
        """Parts that a killed supervisor left go on, if they are what we would start; flows in them lose nothing."""
        for found in parts_of(self._home):
            for one in self._kept:
                if one.part.name == found.part and one.process is None and not one.part.once:
                    one.process = found
                    one.life = one.life.started(time.time())
                    tell(
                        f"the {found.part} of an earlier `bakewell up` goes on (process {found.pid})"
                    )

    def state(self) -> UpState:
        parts = tuple(
            PartState(
                one.part.name,
                one.part.what,
                one.process.pid if one.process and one.process.is_alive() else 0,
                one.process.started_at if one.process else 0.0,
                one.life.restarts,
                one.healthy or one.life.done,
                one.note,
                remark_of(self._home, one.part.name),
            )
            for one in self._kept
        )
        ui = self._server.ui_url
        return UpState(os.getpid(), self._since, self._api, ui, self.healthy, parts)

    # ---- the server ----------------------------------------------------------------------------

    def _look_after_server(self) -> None:
        try:
            api = self._server.ensure(lambda line: tell(line, Tone.WAIT))
        except TransientError as error:
            tell(f"no Prefect server: {error}; asked again in a moment", Tone.BAD)
            return
        self._api = api
        for one in self._kept:
            if one.process and one.process.api != api:
                self._end(one, "it asks another Prefect server")

    # ---- a part --------------------------------------------------------------------------------

    def _look_after(self, one: Kept) -> None:
        now = time.time()
        well = ended_well(one.process) if one.process else None
        alive = one.process is not None and one.process.is_alive()
        if one.process is not None and not alive:
            self._note_end(one, now, well)
        silent = self._silent(one) if alive else None
        shown = silent is not None and silent <= one.part.patience_seconds
        one.healthy = alive and shown and not one.part.once  # that is well when it is done
        if one.healthy:
            one.note = ""
        match next_step(one.life, alive, silent, one.part.patience_seconds, now):
            case Step.START:
                self._start(one, now)
            case Step.REPLACE:
                self._end(one, f"it gives no sign of life for {one.part.patience_seconds:.0f} s")
            case Step.NOTHING:
                pass

    def _note_end(self, one: Kept, now: float, well: bool | None) -> None:
        one.process = None
        if one.part.once and well:
            one.life, one.note = one.life.finished(), ""
            return
        one.life = one.life.ended(now)
        one.note = words_of(self._home, one.part.name)
        pause = pause_seconds(one.life.failures)
        tell(f"the {one.part.name} ended; it starts again in {pause:.0f} s: {one.note}", Tone.BAD)

    def _start(self, one: Kept, now: float) -> None:
        one.process = start_part(one.part.name, one.part.command, self._home, self._environment())
        one.life, one.healthy = one.life.started(now), False

    def _end(self, one: Kept, why: str) -> None:
        assert one.process is not None, "only what runs is ended"
        tell(f"the {one.part.name} is started again: {why}", Tone.WARN)
        stop_part(one.process, one.part.grace_seconds)
        one.process, one.healthy = None, False
        one.life = one.life.ended(time.time())

    def _silent(self, one: Kept) -> float | None:
        if one.part.once:
            return 0.0
        if one.part.health and one.process:
            return 0.0 if answers(one.process, one.part.health) else None
        return silent_seconds(self._home, one.part.name)

    def _environment(self) -> dict[str, str]:
        found = {**os.environ, **client_environment(self._api, self._home)}
        found.pop("PYTHONDONTWRITEBYTECODE", None)  # with it each start compiles Prefect again
        return {
            "PREFECT_WORKER_QUERY_SECONDS": POLL_SECONDS,
            **found,
            platforms.HOME: str(self._home),
            RECEIVER_PORT: str(self._settings.receiver_port),
        }


def supervise(settings: Settings, on_healthy: Callable[[UpState], None]) -> None:
    """Until told to stop; then everything is stopped, the server last. SIGUSR1: what runs may finish first.

    RefusedError if another supervisor of this home is there.
    """
    with the_only_one(platforms.home()), _told_to_stop() as told:
        supervisor, shown = Supervisor(settings), False
        supervisor.adopt()
        while not told.wait(ROUND_SECONDS):
            supervisor.look()
            if supervisor.healthy and not shown:
                on_healthy(supervisor.state())
                shown = True
        for line in stop_parts(platforms.home(), gently=told.gently, hurry=told.hurry):
            tell(line)


class _Told(threading.Event):
    gently = False

    def __init__(self) -> None:
        super().__init__()
        self.hurry = threading.Event()


@contextmanager
def _told_to_stop() -> Iterator[_Told]:
    """Set by SIGTERM, SIGINT and SIGUSR1 (gently); told twice, nobody is waited for any longer."""
    told = _Told()

    def note(number: int, frame: FrameType | None) -> None:
        if told.is_set() and number != signal.SIGUSR1:
            told.hurry.set()
        told.gently = told.gently or (number == signal.SIGUSR1 and not told.is_set())
        told.set()

    before = {one: signal.signal(one, note) for one in _SIGNALS}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
