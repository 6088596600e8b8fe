"""A real sshd of a test's own, and a user who may log in: keys, known hosts and configuration in one folder, nobody else's touched."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.support import engines

ALIAS: Final = "build-box"
"""A name that only the user's configuration knows."""
SETTINGS: Final = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
SetEnv DOCKER_HOST={engine} {environment}
"""
USER: Final = """\
Host {alias}
  HostName 127.0.0.1
  Port {port}
Host *
  IdentityFile {folder}/user
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known
  GlobalKnownHostsFile none
"""


@dataclass(frozen=True)
class Sshd:
    """Started for whoever is to reach `engine` through it; a user's ssh reads what is in `folder`."""

    folder: Path
    port: int

    @property
    def address(self) -> str:
        return f"ssh://127.0.0.1:{self.port}"

    @property
    def known(self) -> Path:
        return self.folder / "known"

    def believe(self, key: str = "host") -> None:
        """Let the user know this key as that of the host."""
        public = (self.folder / f"{key}.pub").read_text()
        self.known.write_text(f"[127.0.0.1]:{self.port} {public}")

    def admit(self, key: str = "user") -> None:
        """Let nobody but the one with this key log in."""
        shutil.copy(self.folder / f"{key}.pub", self.folder / "authorized")

    def log(self) -> str:
        return (self.folder / "log").read_text()


@contextmanager
def sshd(folder: Path, engine: str, environment: str = "") -> Iterator[Sshd]:
    """One on loopback, for whose sessions DOCKER_HOST is `engine`; `environment` is more of that. `ssh` on PATH is the user's."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")  # by its whole path
    if program is None or os.geteuid() != 0:
        engines.missing("needs root and sshd; on Debian: apt-get install openssh-server")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for name in ("host", "user", "other"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    there = Sshd(folder, engines.free_port())
    words = {"folder": folder, "port": there.port, "alias": ALIAS, "engine": engine}
    (folder / "sshd_config").write_text(SETTINGS.format(**words, environment=environment))
    (folder / "config").write_text(USER.format(**words))
    there.believe()
    there.admit()
    command = [program, "-D", "-e", "-f", str(folder / "sshd_config")]
    with (
        engines.running(command, folder / "log", lambda: "listening" in there.log()),
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setenv("PATH", f"{_users_ssh(folder)}{os.pathsep}{os.environ['PATH']}")
        yield there


def _users_ssh(folder: Path) -> Path:
    """A folder with an `ssh` that is the real one with the user's configuration: it would look for it by /etc/passwd."""
    real = engines.program("ssh", "openssh-client")
    (folder / "bin").mkdir()
    wrapper = folder / "bin" / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {real} -F {folder}/config "$@"\n')
    wrapper.chmod(0o755)
    return wrapper.parent
