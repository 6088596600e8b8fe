"""A real Docker engine for tests: one of their own where we may start one, else the one that is there.

Its own means: its own folder, socket and bridge, no iptables. It is never the user's engine and disturbs none: two
engines on one machine would share a bridge and chains of iptables (whoever starts last breaks the other's).
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support import engines

SUBNETS = range(16, 128)
"""Second byte of 10.x.0.0/24 for the bridge and of 10.(x+128).0.0/16 for networks made by the engine."""


@dataclass
class TestEngine:
    """`host` is its DOCKER_HOST. One of our own can be stopped and started again; `folder` is None if it is the user's."""

    __test__ = False

    host: str
    folder: Path | None = None
    command: list[str] = field(default_factory=list)
    process: "subprocess.Popen[bytes] | None" = None

    def start(self, path: str = "") -> None:
        """Begin, or begin again on the same data. `path`: folders that are searched for dockerd first."""
        assert self.folder is not None, "the user's engine is not ours to start"
        where = os.pathsep.join(part for part in (path, os.environ["PATH"], "/usr/sbin") if part)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PATH": where},
                start_new_session=True,
            )
        engines.wait_for(lambda: is_up(self.host), 30, f"dockerd, see {self.folder / 'log'}")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, kindly or not: containers end with it, as no live-restore is configured, unless it is killed."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(30)
        if number != signal.SIGTERM and self.folder is not None:
            # Its containerd died with it, and is not seen to be dead where nobody collects orphans.
            (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)


def is_up(host: str) -> bool:
    """Asked by hand: every client at hand leaves its socket to the garbage collector when nobody answers."""
    scheme, _, place = host.partition("://")
    name, _, port = place.partition(":")
    family = socket.AF_UNIX if scheme == "unix" else socket.AF_INET
    with contextlib.suppress(OSError, ValueError), socket.socket(family) as asking:
        asking.settimeout(5)
        asking.connect(place if scheme == "unix" else (name, int(port)))
        asking.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
        return b" 200 " in asking.recv(64)
    return False


@contextmanager
def docker_engine(*options: str, path: str = "") -> Iterator[TestEngine]:
    """An engine of the test's own; skips (in CI: fails) where none can be had. `options` go to dockerd, `path` is searched
    for it first. Whoever asks for options gets no engine but one of its own."""
    found = shutil.which("dockerd", path=os.pathsep.join([path, os.environ["PATH"], "/usr/sbin"]))
    if found is None or os.geteuid() != 0 or shutil.which("ip") is None:
        yield _the_users(options)
        return
    folder = Path(
        tempfile.mkdtemp(prefix="dk-", dir="/tmp")
    )  # short: a socket's path may have 107 characters
    bridge, subnet = _bridge()
    engine = TestEngine(f"unix://{folder}/docker.sock", folder)
    engine.command = [
        *(found, "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"),
        *("--pidfile", f"{folder}/docker.pid", "-H", engine.host, "--bridge", bridge),
        *("--iptables=false", "--ip6tables=false", "--ip-masq=false"),
        *("--default-address-pool", f"base=10.{subnet + 128}.0.0/16,size=24", *options),
    ]
    try:
        engine.start(path)
        yield engine
    finally:
        _end(engine, folder, bridge)


def _end(engine: TestEngine, folder: Path, bridge: str) -> None:
    if engine.process is not None and engine.process.poll() is None:
        engine.stop()
    for process in psutil.process_iter(["cmdline"]):  # containerd and shims of a killed engine
        if any(str(folder) in word for word in process.info["cmdline"] or ()):
            process.kill()
    mounts = Path("/proc/mounts").read_text().splitlines()
    for mount in reversed([line.split()[1] for line in mounts if str(folder) in line]):
        subprocess.run(["umount", "-l", mount], check=False, capture_output=True)
    subprocess.run(["ip", "link", "del", bridge], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


def _the_users(options: tuple[str, ...]) -> TestEngine:
    host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if options or os.environ.get("CI") or not is_up(host):
        engines.missing(
            "needs a Docker engine: root, dockerd and ip on PATH to start one"
            " (Debian: apt-get install docker.io iproute2), or one that answers at DOCKER_HOST"
        )
    return TestEngine(host)


def _bridge() -> tuple[str, int]:
    """A bridge that nobody has, up, and the number of its subnet: the kernel refuses the second of two who want one name."""
    for number in SUBNETS:
        name = f"bkw{number}"
        made = subprocess.run(
            ["ip", "link", "add", name, "type", "bridge"], check=False, capture_output=True
        )
        if made.returncode:
            continue
        address = ["ip", "addr", "add", f"10.{number}.0.1/24", "dev", name]
        for command in (address, ["ip", "link", "set", name, "up"]):
            subprocess.run(command, check=True, capture_output=True)
        return name, number
    engines.missing("needs a network bridge for a Docker engine; all names are taken")
