"""Deploying: what prefect.yaml says, written to the Prefect server; what has left it is removed there, which Prefect never does.

It takes Prefect's own command several seconds, so nothing is written that is there already, by the same file and version.
"""

import hashlib
import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML

from flows.parts import POOL
from tasks import platforms
from tasks.adapters.parts import folder_of
from tasks.adapters.prefect_api import PrefectApi
from tasks.adapters.prefect_server import API_URL
from tasks.errors import InvalidInputError, TransientError

ROOT: Final = Path(__file__).resolve().parent.parent
TAG: Final = "bakewell"
DEPLOY_SECONDS: Final = 300.0


def deploy() -> list[str]:
    """Says what was done. TransientError if the server does not answer, or Prefect's command fails."""
    api, file = PrefectApi(os.environ[API_URL]), prefect_yaml()
    api.ensure_process_pool(POOL)
    wanted, there = names_in(file), api.deployments(TAG)
    done = []
    if not _is_written(file) or not set(wanted) <= set(there):
        _write_all(file)
        done.append(f"wrote the deployments {', '.join(sorted(wanted))}")
        _remember(file)
    for name in sorted(set(there) - set(wanted)):
        api.delete_deployment(there[name])
        done.append(f"removed the deployment {name}, which has left {file.name}")
    return done


def prefect_yaml() -> Path:
    """In the repository at its top; in an installed package beside what is deployed."""
    places = (ROOT / "prefect.yaml", ROOT / "deployments" / "prefect.yaml")
    if found := next((place for place in places if place.exists()), None):
        return found
    raise InvalidInputError(f"looked for prefect.yaml in {ROOT}; it is not there; install anew")


def names_in(file: Path) -> Sequence[str]:
    """As `flow/deployment`. A flow is called as its function."""
    found = YAML(typ="safe").load(file.read_text())
    return [
        f"{one['entrypoint'].rpartition(':')[2].replace('_', '-')}/{one['name']}"
        for one in found["deployments"]
    ]


def _write_all(file: Path) -> None:
    command = ["-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    done = subprocess.run(
        [sys.executable, "-P", *command],
        cwd=file.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEPLOY_SECONDS,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-500:]
        raise TransientError(
            f"asked Prefect to deploy {file}; it ended with {done.returncode}: {said}"
        )


def _is_written(file: Path) -> bool:
    try:
        return _memory().read_text() == _fingerprint(file)
    except OSError:
        return False


def _remember(file: Path) -> None:
    _memory().write_text(_fingerprint(file))


def _memory() -> Path:
    return folder_of(platforms.home()) / "deployed"


def _fingerprint(file: Path) -> str:
    """Of the file, of the forms that the flows have in this version, and of the server they were written to."""
    version = importlib.metadata.version("bakewell")
    forms = b"".join(path.read_bytes() for path in sorted((ROOT / "flows").glob("*.py")))
    parts = (file.read_bytes(), forms, version.encode(), os.environ[API_URL].encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


if __name__ == "__main__":
    for line in deploy():
        print(line, flush=True)
