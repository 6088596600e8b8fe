"""A real OCI registry (distribution's `docker-registry`) on a free loopback port, in a folder of its own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import engines


@dataclass(frozen=True)
class Registry:
    """A running registry. `blob(digest)` is where its bytes are on disk, for tests that break them."""

    host: str
    folder: Path
    process: "subprocess.Popen[bytes]"

    def blob(self, digest: str) -> Path:
        hexadecimal = digest.removeprefix("sha256:")
        blobs = self.folder / "data/docker/registry/v2/blobs/sha256"
        return blobs / hexadecimal[:2] / hexadecimal / "data"

    def stop(self) -> None:
        engines.stop(self.process)


@contextmanager
def running_registry(
    folder: Path, user: str = "", password: str = "", auth: str = ""
) -> Iterator[Registry]:
    """Skips (in CI: fails) where `docker-registry` is not installed. With a user: Basic log-in. `auth`: other YAML."""
    program = engines.program("docker-registry", "docker-registry")
    folder.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{engines.free_port()}"
    if user:
        auth = f"auth: {{htpasswd: {{realm: test, path: {htpasswd_file(folder, user, password)}}}}}"
    configuration = folder / "registry.yml"
    configuration.write_text(
        "version: 0.1\nlog: {level: warn}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}, delete: {{enabled: true}}}}\n"
        f'http: {{addr: "{address}"}}\n{auth}\n'
    )
    command: list[str | Path] = [program, "serve", configuration]
    with engines.running(command, folder / "log", f"http://{address}/") as process:
        yield Registry(address, folder, process)


def htpasswd_file(folder: Path, user: str, password: str) -> Path:
    program = engines.program("htpasswd", "apache2-utils")
    done = subprocess.run([program, "-Bbn", user, password], check=True, capture_output=True)
    path = folder / "htpasswd"
    path.write_bytes(done.stdout)
    return path
