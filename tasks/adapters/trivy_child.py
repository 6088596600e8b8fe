"""Runs pytrivy in a process that can be killed as a whole: `python -m tasks.adapters.trivy_child scan|rescan|download …`.

pytrivy waits for Trivy without a limit, and Trivy ignores SIGTERM inside a TLS handshake. So: a session of its own,
killed by SIGKILL at a deadline, and killed with whoever started it. The answer is one line of JSON on standard output.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Final

PR_SET_PDEATHSIG: Final = (
    1  # Linux only; elsewhere a killed parent leaves Trivy to its own time limit
)
FOUND: Final = ("Vulnerabilities", "Secrets", "Licenses", "Misconfigurations")
BILLS: Final = {"cyclonedx": "cyclonedx", "spdx": "spdx-json"}


def main(what: str, target: str, config: str, parent: int) -> None:
    _die_with(parent)
    if what == "download":
        answer = _downloaded(config)
    else:
        answer = _scanned("image" if what == "scan" else "sbom", target, config)
    if what == "scan" and "report" in answer:
        answer |= _bills(answer["report"], config)
    print(json.dumps({"problem": answer["problem"]} if "problem" in answer else {"found": answer}))


def _scanned(command: str, target: str, config: str) -> dict[str, Any]:
    """{"report": Trivy's} or {"problem": what went wrong}."""
    _without_typeguard()
    from trivy.classes import TrivyClient
    from trivy.enums import TrivyScanCommandEnum

    try:
        found = TrivyClient(target, TrivyScanCommandEnum(command), config).scan()
    except Exception as error:  # noqa: BLE001 - whatever it was, it is told and never counts as clean
        return {"problem": str(error) or type(error).__name__}
    # pytrivy returns {"error": …} for an answer it cannot parse, and would then count 0 vulnerabilities
    if not isinstance(found, dict) or "error" in found:
        return {"problem": f"its answer is no report: {str(found)[:500]}"}
    return {"report": found}


def _without_typeguard() -> None:
    """pytrivy wants `@typechecked` of it, which does nothing under -O: to import it takes longer than Trivy for a bill.

    Wanted for more one day, it fails to import, and nothing counts as scanned.
    """
    if not __debug__:
        stand_in = ModuleType("typeguard")
        vars(stand_in)["typechecked"] = lambda checked: checked
        sys.modules["typeguard"] = stand_in


def _bills(report: dict[str, Any], config: str) -> dict[str, Any]:
    """Both bills of materials, from what was just seen: the image is not read again. pytrivy cannot convert.

    Or {"without_bills": why}.
    """
    inventory = Path(config).with_name("inventory.json")
    try:
        inventory.write_text(json.dumps(_inventory(report)))
        running = {name: _converting(form, inventory) for name, form in BILLS.items()}
        return {name: _converted(one) for name, one in running.items()}
    except (AttributeError, OSError, ValueError) as error:
        return {"without_bills": str(error)}


def _inventory(report: dict[str, Any]) -> dict[str, Any]:
    """The same without what was found: bills say what is inside, not what is wrong with it."""
    results = report.get("Results") or ()
    bare = [{key: value for key, value in one.items() if key not in FOUND} for one in results]
    return {**report, "Results": bare}


def _converting(form: str, inventory: Path) -> "subprocess.Popen[str]":
    """Without a configuration: it would be told to write the report's form."""
    command = ["trivy", "convert", "--quiet", "--config", "", "--ignorefile", "", "--format", form]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*command, str(inventory)], stdout=pipe, stderr=pipe, text=True, errors="replace"
    )


def _converted(running: "subprocess.Popen[str]") -> dict[str, Any]:
    out, said = running.communicate()
    if running.returncode:
        raise ValueError(said.strip() or f"trivy convert ended with code {running.returncode}")
    found: dict[str, Any] = json.loads(out)
    return found


def _downloaded(config: str) -> dict[str, Any]:
    """The vulnerability database, to where the configuration says; pytrivy knows no command for it."""
    command = ["trivy", "image", "--download-db-only", "--quiet", "--config", config]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        return {"problem": done.stderr or f"trivy ended with code {done.returncode}"}
    return {}


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
