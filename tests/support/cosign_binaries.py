"""Real cosign 2 and 3, from newer Debian suites, unpacked beside everything else: this machine's packages stay as they are.

Kept in the temporary folder between runs. Not on Debian, or without its mirror: missing(), which CI does not allow.
"""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tasks.adapters.file_lock import locked
from tests.support.engines import missing

SUITES: Final = {2: "trixie", 3: "sid"}
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def cosign(major: int) -> Path:
    """The program of that major version. `COSIGN_2` or `COSIGN_3` may name one that is there already."""
    if given := os.environ.get(f"COSIGN_{major}"):
        return Path(given)
    folder = Path(tempfile.gettempdir()) / f"bakewell-cosign-{os.getuid()}"
    program = folder / f"cosign-{major}" / "usr" / "bin" / "cosign"
    with locked(folder / ".lock"):
        if not program.exists():
            _fetch(folder, major)
    return program


def _fetch(folder: Path, major: int) -> None:
    if not KEYRING.exists():
        missing(
            f"cosign {major} is taken from Debian's archive; set COSIGN_{major} to one of your own"
        )
    configuration = _apt(folder)
    try:
        _run(configuration, "apt-get", "-qq", "update", cwd=folder)
        _run(configuration, "apt-get", "-qq", "download", f"cosign/{SUITES[major]}", cwd=folder)
    except (subprocess.CalledProcessError, OSError, subprocess.TimeoutExpired) as error:
        said = getattr(error, "stderr", "") or error
        missing(f"cosign {major} cannot be fetched from Debian's archive: {said}")
    (package,) = folder.glob(f"cosign_{major}*.deb")
    subprocess.run(["dpkg", "-x", package, folder / f"cosign-{major}"], check=True)
    package.unlink()


def _apt(folder: Path) -> Path:
    """An apt with sources and state of its own, on the mirror that this machine uses."""
    state = folder / "apt"
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    mirror = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    if not mirror:
        missing("apt knows no mirror of Debian here, from which cosign could be fetched")
    lines = [f"deb [signed-by={KEYRING}] {mirror[0]} {suite} main" for suite in SUITES.values()]
    (state / "sources.list").write_text("\n".join(lines) + "\n")
    configuration = state / "apt.conf"
    configuration.write_text(
        f'Dir::Etc::sourcelist "{state}/sources.list";\nDir::Etc::sourceparts "-";\n'
        f'Dir::State::lists "{state}/lists";\nDir::State::status "{state}/status";\nDir::Cache "{state}/cache";\n'
    )
    return configuration


def _run(configuration: Path, *command: str, cwd: Path) -> None:
    subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "APT_CONFIG": str(configuration)},
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
