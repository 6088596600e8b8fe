"""Programs from newer Debian suites, unpacked beside everything else: this machine's packages stay as they are.

Kept in the temporary folder between runs. Not on Debian, or without its mirror: missing(), which CI does not allow.
"""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tasks.adapters.file_lock import locked
from tests.support.engines import missing

SUITES: Final = ("trixie", "sid")
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def unpacked(what: str, suite: str, *packages: str) -> Path:
    """The folder in which those packages of the suite are unpacked, as in `/`; `what` names it."""
    root = Path(tempfile.gettempdir()) / f"bakewell-debian-{os.getuid()}"
    folder = root / what
    with locked(root / ".lock"):
        if not folder.exists():
            _fetch(root, folder, suite, packages)
    return folder


def _fetch(root: Path, folder: Path, suite: str, packages: tuple[str, ...]) -> None:
    names = ", ".join(packages)
    if not KEYRING.exists():
        missing(f"{names} of {suite} comes from Debian's archive, whose keys are not here")
    configuration = _apt(root)
    wanted = [f"{package}/{suite}" for package in packages]
    with tempfile.TemporaryDirectory(dir=root) as draft:
        try:
            if not (root / "apt" / "updated").exists():
                _run(configuration, "apt-get", "-qq", "update", cwd=root)
                (root / "apt" / "updated").touch()
            _run(configuration, "apt-get", "-qq", "download", *wanted, cwd=Path(draft))
        except (subprocess.CalledProcessError, OSError, subprocess.TimeoutExpired) as error:
            said = getattr(error, "stderr", "") or error
            missing(f"{names} cannot be fetched from Debian's archive: {said}")
        for package in Path(draft).glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, Path(draft) / "unpacked"], check=True)
        (Path(draft) / "unpacked").rename(folder)


def _apt(root: Path) -> Path:
    """An apt with sources and state of its own, on the mirror that this machine uses."""
    state = root / "apt"
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    mirror = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    if not mirror:
        missing("apt knows no mirror of Debian here, from which newer packages could be fetched")
    lines = [f"deb [signed-by={KEYRING}] {mirror[0]} {suite} main" for suite in SUITES]
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
