"""Runs pytrivy in a process that can be killed as a whole: `python -m tasks.adapters.trivy_child scan|sbom|download …`.

pytrivy waits for Trivy without a limit, and Trivy ignores SIGTERM inside a TLS handshake. So: a session of its own,
killed by SIGKILL at a deadline, and killed with whoever started it. The answer is one line of JSON on standard output.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from types import FrameType
from typing import Any, Final

PR_SET_PDEATHSIG: Final = (
    1  # Linux only; elsewhere a killed parent leaves Trivy to its own time limit
)


def main(what: str, target: str, config: str, parent: int) -> None:
    _die_with(parent)
    asked = _downloaded(config) if what == "download" else _asked(what, target, config)
    print(json.dumps(asked), flush=True)


def _asked(what: str, target: str, config: str) -> dict[str, Any]:
    """{"found": the report} or {"problem": what went wrong}."""
    from trivy.classes import TrivyClient
    from trivy.enums import SBOMFormatEnum, TrivyScanCommandEnum

    try:
        client = TrivyClient(target, TrivyScanCommandEnum.Image, config)
        found = client.scan() if what == "scan" else client.sbom(SBOMFormatEnum.CycloneDX)
    except Exception as error:  # noqa: BLE001 - whatever it was, it is told and never counts as clean
        return {"problem": str(error) or type(error).__name__}
    # pytrivy returns {"error": …} for an answer it cannot parse, and would then count 0 vulnerabilities
    if not isinstance(found, dict) or "error" in found:
        return {"problem": f"its answer is no report: {str(found)[:500]}"}
    return {"found": found}


def _downloaded(config: str) -> dict[str, Any]:
    """The vulnerability database, to where the configuration says; pytrivy knows no command for it."""
    command = ["trivy", "image", "--download-db-only", "--quiet", "--config", config]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        return {"problem": done.stderr or f"trivy ended with code {done.returncode}"}
    return {"found": {}}


def _die_with(parent: int) -> None:
    signal.signal(signal.SIGTERM, _kill_session)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before we asked to be told
            _kill_session(signal.SIGTERM, None)


def _kill_session(number: int, frame: FrameType | None) -> None:
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
