"""Prefect's server on this machine: one per home folder, started when first needed, found again, stopped by pid.

A server of ours carries a mark in its environment that names its folder, port and version. That mark is the truth:
unlike a pid it is never used again, unlike a start time it does not move with the clock, and it is there even if the
command that started the server was killed in the next instant. server.json only says where to look first.
"""

import base64
import contextlib
import fcntl
import importlib.metadata
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import psutil

from tasks.adapters.server_process import (
    LOOPBACK,
    any_port,
    end_session,
    environment_of,
    is_alive,
    is_free,
    last_words,
    leads_session,
    listens,
    rotate,
)
from tasks.errors import TransientError

USUAL_PORT: Final = 4200
START_SECONDS: Final = 120.0
SILENT_SECONDS: Final = 20.0
CLOSING_SECONDS: Final = 1.0
STOP_SECONDS: Final = 10.0
MARK: Final = "BAKEWELL_PREFECT_SERVER"
API_URL: Final = "PREFECT_API_URL"
TERMINAL: Final = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})

Progress = Callable[[str], None]

SERVER_SETTINGS: Final = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    # Kept in memory (the default), a slot stays taken for ever after the server was restarted.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # One by one (the default) each task run costs the server four to five times the processor time.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}
CLIENT_SETTINGS: Final = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_EVENTS_WORKER_MAX_QUEUE_SIZE": "10000",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "bakewell",
    # Runs are told in our own words on the terminal; Prefect's lines and tracebacks are in its pages.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_CLI_PROMPT": "false",
}


def client_environment(api: str, home: Path | None = None) -> dict[str, str]:
    """What a process must have in its environment, before it imports Prefect, to run flows against `api`.

    Only what the user has not set. With `home`, a server of ours is met with settings of ours: the user's Prefect
    profile (another API, a key for it) stays out of it.
    """
    settings = CLIENT_SETTINGS | {API_URL: api}
    if home is not None and api == LocalPrefectServer(home).running():
        settings["PREFECT_HOME"] = str(_folder(home))
    if any(name.lower() in {"http_proxy", "all_proxy"} for name in os.environ):
        settings["NO_PROXY"] = f"{LOOPBACK},localhost"
    return {name: value for name, value in settings.items() if name not in os.environ}


def mark_crashed(flow_run: str, reason: str, api: str | None = None) -> bool:
    """Show a flow run that nobody runs any more as Crashed. Only for the eye: False where that could not be done.

    `api` defaults to $PREFECT_API_URL. A run that has ended is left as it is.
    """
    url = (api or os.environ.get(API_URL) or "").rstrip("/")
    if not url or not flow_run:
        return False
    try:
        found = _ask(f"{url}/flow_runs/{flow_run}")
        if not isinstance(found, dict) or found.get("state_type") in TERMINAL:
            return False
        state = {"type": "CRASHED", "name": "Crashed", "message": reason}
        _ask(f"{url}/flow_runs/{flow_run}/set_state", {"state": state, "force": True})
    except (OSError, ValueError):
        return False
    return True


@dataclass(frozen=True)
class _Server:
    """One server of ours. `version` is Prefect's; a pid of 0: not started yet."""

    folder: str
    port: int
    version: str
    pid: int = 0

    @property
    def api(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/api"

    @property
    def mark(self) -> str:
        return json.dumps(asdict(replace(self, pid=0)))

    def answers(self) -> bool:
        """Alive, healthy, and really the one behind its port."""
        try:
            return _ask(f"{self.api}/health") is True and listens(
                psutil.Process(self.pid), self.port
            )
        except (OSError, ValueError, psutil.Error):
            return False


class LocalPrefectServer:
    """The one server of a home folder; every method is safe against other commands doing the same at once."""

    def __init__(self, home: Path) -> None:
        self._folder = _folder(home)

    @property
    def log(self) -> Path:
        return self._folder / "server.log"

    @property
    def ui_url(self) -> str:
        """Where a person looks: the server named by $PREFECT_API_URL, else ours; empty if there is none."""
        recorded = self._recorded()
        api = os.environ.get(API_URL) or (recorded.api if recorded else "")
        return os.environ.get("PREFECT_UI_URL") or api.rstrip("/").removesuffix("/api")

    def ensure(self, on_progress: Progress = lambda line: None) -> str:
        """The API's URL, of a server that answers. TransientError if none can be had.

        A server the user named with $PREFECT_API_URL is asked, and never replaced by one of ours.
        """
        given, recorded = os.environ.get(API_URL, "").rstrip("/"), self._recorded()
        if given and (recorded is None or given != recorded.api):
            return _checked(given)
        if (api := self.running()) is not None:
            return api
        with self._locked(on_progress):
            return self._adopt(on_progress) or self._start(on_progress)

    def running(self) -> str | None:
        """The API's URL if a server of ours, of this Prefect version, answers now."""
        recorded = self._recorded()
        server = self._identify(recorded.pid) if recorded else None
        ready = server is not None and server.version == _version() and server.answers()
        return server.api if server and ready else None

    def settings(self) -> dict[str, str]:
        """The environment that our living server was started with; empty if there is none."""
        recorded = self._recorded()
        server = self._identify(recorded.pid) if recorded else None
        return environment_of(server.pid) if server else {}

    def stop(self, grace_seconds: float = STOP_SECONDS) -> bool:
        """End our server, if there is one; True if there was. Only processes that carry our mark are touched."""
        if not self._folder.exists():
            return False
        with self._locked(lambda line: None):
            server = self._find()
            if server is not None:
                end_session(psutil.Process(server.pid), grace_seconds)
            return server is not None

    # ---- starting ------------------------------------------------------------------------------

    def _adopt(self, on_progress: Progress) -> str | None:
        """A server that another command started meanwhile, or left half started when it was killed."""
        server = self._find()
        if server is None:
            return None
        if server.version == _version() and self._wait(server, on_progress, _patience(server)):
            self._record(server)
            return server.api
        on_progress(f"the local Prefect server ({server.version}) is replaced: too old, or silent")
        end_session(psutil.Process(server.pid), STOP_SECONDS)
        return None

    def _start(self, on_progress: Progress) -> str:
        for _ in range(3):  # somebody may take the port between our look and the server's
            wanted = _Server(str(self._folder), self._port(), _version())
            on_progress(f"starting the local Prefect server on port {wanted.port} {self._estimate}")
            server = replace(wanted, pid=self._spawn(wanted))
            self._record(server)
            if self._wait(server, on_progress, START_SECONDS):
                return server.api
            ended = not is_alive(psutil.Process(server.pid))
            end_session(psutil.Process(server.pid), STOP_SECONDS)
            if not ended or is_free(server.port):
                break
        raise TransientError(
            f"the local Prefect server was to answer at {server.api} within {START_SECONDS:.0f} s; it"
            f" {'ended' if ended else 'did not'}: {last_words(self.log)}. See {self.log},"
            f" or name a server of your own in {API_URL}"
        )

    @property
    def _estimate(self) -> str:
        if (self._folder / "prefect.db").exists():
            return "(about 5 s)"
        return "(about 15 s: its database is made, this once)"

    def _spawn(self, wanted: _Server) -> int:
        rotate(self.log)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "prefect", "server", "start"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=self._environment(wanted),
                start_new_session=True,
            )
        process.returncode = 0  # it outlives us: Popen must not warn that nobody waits for it
        return process.pid

    def _environment(self, wanted: _Server) -> dict[str, str]:
        """The user's environment and server settings; ours where those are silent.

        The port must be a setting: with the flag `--port` the browser's pages still ask port 4200.
        """
        ours = {
            "PREFECT_HOME": wanted.folder,
            "PREFECT_SERVER_API_HOST": LOOPBACK,
            "PREFECT_SERVER_API_PORT": str(wanted.port),
            "PREFECT_SERVER_UI_API_URL": wanted.api,
            MARK: wanted.mark,
        }
        users = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("PREFECT_") or name.startswith("PREFECT_SERVER_")
        }
        users.pop("PYTHONDONTWRITEBYTECODE", None)  # with it each start compiles Prefect again
        return SERVER_SETTINGS | users | ours

    def _port(self) -> int:
        """The last one, so that links into the UI stay good; else the usual one; else any."""
        recorded = self._recorded()
        wanted = (recorded.port, USUAL_PORT) if recorded else (USUAL_PORT,)
        until = time.monotonic() + CLOSING_SECONDS
        while recorded and not is_free(recorded.port) and time.monotonic() < until:
            time.sleep(0.05)  # a killed server's last thread may still be closing it
        return next((port for port in wanted if is_free(port)), None) or any_port()

    def _wait(self, server: _Server, on_progress: Progress, seconds: float) -> bool:
        process = psutil.Process(server.pid)
        begun = told = time.monotonic()
        while (now := time.monotonic()) - begun < seconds:
            if server.answers():
                return True
            if not is_alive(process):
                return False
            if now - told > 5:
                told = now
                on_progress(f"the Prefect server is still starting ({now - begun:.0f} s)")
            time.sleep(0.1)
        return False

    # ---- finding -------------------------------------------------------------------------------

    def _find(self) -> _Server | None:
        """Our living server: where server.json says, else by looking at every process of this user."""
        recorded = self._recorded()
        pids = [recorded.pid] if recorded else []
        return next(filter(None, map(self._identify, [*pids, *psutil.pids()])), None)

    def _identify(self, pid: int) -> _Server | None:
        """The server behind a pid, if it carries our mark and is not merely a child of one that does."""
        mark = environment_of(pid).get(MARK)
        if mark is None or not leads_session(pid):
            return None
        server = _parsed(mark)
        ours = server is not None and server.folder == str(self._folder)
        return replace(server, pid=pid) if server and ours else None

    def _recorded(self) -> _Server | None:
        try:
            return _parsed((self._folder / "server.json").read_text())
        except OSError:
            return None

    def _record(self, server: _Server) -> None:
        beside = self._folder / "server.json.new"
        beside.write_text(json.dumps(asdict(server)))
        beside.replace(self._folder / "server.json")

    @contextlib.contextmanager
    def _locked(self, on_progress: Progress) -> Iterator[None]:
        """One command at a time; the kernel frees the lock of a killed one."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        until, told = time.monotonic() + 2 * START_SECONDS, False
        with (self._folder / "server.lock").open("w") as lock:
            while not _taken(lock.fileno()):
                if not told:
                    on_progress(
                        "another command starts or stops the Prefect server; waiting for it"
                    )
                    told = True
                if time.monotonic() > until:
                    raise TransientError(
                        f"{self._folder / 'server.lock'} was to be free; another command has held it for"
                        f" {2 * START_SECONDS:.0f} s. Look for a hanging `bakewell` and end it"
                    )
                time.sleep(0.1)
            yield


def _folder(home: Path) -> Path:
    return home.absolute() / "prefect"


def _version() -> str:
    return importlib.metadata.version("prefect")


def _patience(server: _Server) -> float:
    """A server that another command has just started may need its time; an old one that is silent hangs."""
    with contextlib.suppress(psutil.Error):
        if time.time() - psutil.Process(server.pid).create_time() > START_SECONDS:
            return SILENT_SECONDS
    return START_SECONDS


def _parsed(text: str) -> _Server | None:
    try:
        return _Server(**json.loads(text))
    except (ValueError, TypeError):
        return None


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# ---- asking --------------------------------------------------------------------------------------


def _ask(url: str, body: Mapping[str, Any] | None = None, seconds: float = 5.0) -> Any:
    """The JSON answer to a GET, or to a POST of `body`; OSError or ValueError if there is none."""
    local = f"//{LOOPBACK}:" in url or "//localhost:" in url
    direct = [urllib.request.ProxyHandler({})] if local else []
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json", **_credentials()}
    request = urllib.request.Request(url, data, headers)
    with urllib.request.build_opener(*direct).open(request, timeout=seconds) as answer:
        return json.loads(answer.read())


def _credentials() -> dict[str, str]:
    if string := os.environ.get("PREFECT_API_AUTH_STRING"):
        return {"Authorization": f"Basic {base64.b64encode(string.encode()).decode()}"}
    key = os.environ.get("PREFECT_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _checked(api: str) -> str:
    try:
        _ask(f"{api}/health", seconds=10.0)
    except (OSError, ValueError) as error:
        code = error.code if isinstance(error, urllib.error.HTTPError) else None
        found = f"answered {code}" if code else f"did not answer ({error})"
        raise TransientError(
            f"{API_URL} names a Prefect server at {api}; {api}/health {found}."
            f" Start that server, correct {API_URL}, or unset it: then Bakewell starts its own"
        ) from error
    return api
