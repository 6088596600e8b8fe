"""`python3 -m tests`: the whole suite, from a fresh clone. Everything after it is passed on to pytest."""

import os
import sys
import tempfile
from pathlib import Path

from flows.bootstrap import ensure_environment

MOST_WORKERS = 4


def main() -> int:
    """One Prefect server for all workers: each one's own would cost a quarter of a minute."""
    ensure_environment("tests", sys.argv[1:], development=True)
    import pytest

    from tasks.adapters.prefect_server import LocalPrefectServer, client_environment

    with tempfile.TemporaryDirectory(prefix="bakewell-tests-") as folder:
        home = Path(folder)
        server = LocalPrefectServer(home)
        try:
            if not _only_asks(sys.argv[1:]):
                api = server.ensure(lambda line: print(line, flush=True))
                os.environ.update(client_environment(api, home))
            os.environ["BAKEWELL_HOME"] = str(home)
            return pytest.main([*_parallel(), *sys.argv[1:]])
        finally:
            server.stop()


def _only_asks(arguments: list[str]) -> bool:
    """Nothing will run: no server is needed."""
    return bool({"--version", "-V", "--help", "-h", "--collect-only", "--co"} & set(arguments))


def _parallel() -> list[str]:
    """Tests of one file share its engines, so they stay on one worker; files in our order, not those with most tests first.

    One worker more than there are cores: tests of flows mostly wait (tests/support/turns.py).
    """
    workers = str(min(MOST_WORKERS, (os.cpu_count() or 1) + 1))
    return ["-n", workers, "--dist", "loadfile", "--no-loadscope-reorder"]


if __name__ == "__main__":
    sys.exit(main())
