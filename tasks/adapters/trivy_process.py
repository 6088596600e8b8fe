"""Runs Trivy in a child process that dies as a whole: at a deadline, with us, and when any part of it breaks."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tasks.adapters import trivy_server
from tasks.adapters.trivy_binary import binary, search_path
from tasks.adapters.trivy_config import Config
from tasks.errors import TransientError

ROOT: Final = Path(__file__).parents[2]


@contextmanager
def work_folder(inside: Path | None = None) -> Iterator[Path]:
    """Everything one run needs, and an empty folder to start it in. TransientError if the disk will not have it."""
    try:
        made = tempfile.TemporaryDirectory(
            prefix="bakewell-trivy-", dir=inside, ignore_cleanup_errors=True
        )
    except OSError as error:
        raise TransientError(
            f"asked to run Trivy; no folder to work in can be made ({error}); make room, try again"
        ) from error
    with made as name:
        work = Path(name)
        (work / "empty").mkdir()
        yield work


def ask(what: str, target: str, config: Config, work: Path, seconds: float) -> dict[str, Any]:
    """What trivy_child found. `config` is all the configuration Trivy gets.

    TransientError if it could not be started, was killed, hung, reported a problem, or said something else.
    """
    path = work / "trivy.json"
    try:
        path.write_text(json.dumps(config.told()))
        answer = _answer(what, target, path, work, seconds)
    except OSError as error:
        raise TransientError(
            f"asked Trivy to {what} {target}; it could not be run: {error}; try again"
        ) from error
    if problem := answer.get("problem"):
        raise TransientError(f"asked Trivy to {what} {target}; it said: {_short(problem)}")
    found: dict[str, Any] = answer["found"]
    return found


def _answer(what: str, target: str, config: Path, work: Path, seconds: float) -> dict[str, Any]:
    binary()
    # -O: no typeguard, which takes 0.3 s to import and would compile all of pytrivy anew each time
    arguments = [what, target, str(config), str(os.getpid())]
    with subprocess.Popen(
        [sys.executable, "-O", "-m", "tasks.adapters.trivy_child", *arguments],
        cwd=work / "empty",
        env=_environment(work),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        try:
            out, said = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise TransientError(
                f"asked Trivy to {what} {target}; no answer in {seconds:g} s, so it was killed; try again"
            ) from error
        finally:
            if child.returncode != 0:  # also if only the child died: Trivy itself may go on
                _kill_group(child.pid)
    return _parsed(out, said, child.returncode, what)


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _parsed(out: bytes, said: bytes, code: int, what: str) -> dict[str, Any]:
    try:
        answer = json.loads(out)
    except ValueError:
        answer = None
    if code or not isinstance(answer, dict) or not _is_answer(answer):
        words = _short(said.decode(errors="replace")) or "nothing"
        ended = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        raise TransientError(
            f"asked Trivy to {what}; its process {ended} without an answer, and said {words};"
            " see whether this machine runs out of memory, and try again"
        )
    return answer


def _is_answer(answer: Mapping[str, Any]) -> bool:
    return isinstance(answer.get("found"), dict) or bool(answer.get("problem"))


def _environment(work: Path) -> dict[str, str]:
    """Ours, because credentials of registries and proxies are found by it; without what would configure Trivy.

    The one setting that is added is the server's token, which belongs into no file.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRIVY_")}
    python = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    own = {"PATH": search_path(), "TMPDIR": str(work), "PYTHONPATH": python}
    return {**kept, **own, **trivy_server.environment()}


def _short(text: str) -> str:
    return " ".join(text.split())[-400:]
