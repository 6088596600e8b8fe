"""A command in somebody's terminal that was killed leaves no run that Prefect shows as Running for ever."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.zombies import close_those_of_commands
from tasks.adapters.prefect_api import PrefectApi
from tasks.adapters.terminals import FOLDER

COMMAND = """
from flows.run import prefect_is_there
with prefect_is_there():
    import sys, time
    from prefect import flow
    @flow
    def inner():
        print("begun", flush=True)
        sys.stdin.readline()
    @flow
    def outer():
        inner()
    outer()
"""


@contextmanager
def command(home: Path) -> Iterator["subprocess.Popen[str]"]:
    """In the middle of its run; a line on its standard input lets it end."""
    environment = {**os.environ, "BAKEWELL_HOME": str(home), "PREFECT_LOGGING_LEVEL": "ERROR"}
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            yield process
        finally:
            process.kill()


def states(api: PrefectApi, tag: str) -> set[str]:
    return {run.state_name for run in api.runs({"tags": {"all_": [tag]}})}


def test_its_runs_are_closed_once_it_is_gone_and_not_while_it_lives(
    prefect_api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEWELL_HOME", str(tmp_path))
    with PrefectApi(prefect_api) as api:
        with command(tmp_path) as process:
            (file,) = (tmp_path / FOLDER).iterdir()
            assert list(close_those_of_commands(api)) == []
            assert states(api, file.stem) == {"Running"}
            process.kill()
        assert len(list(close_those_of_commands(api))) == 2, "its run, and that of the sub-flow"
        assert states(api, file.stem) == {"Crashed"}
        assert list((tmp_path / FOLDER).iterdir()) == []


def test_a_command_that_ends_well_leaves_nothing_to_close(
    prefect_api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEWELL_HOME", str(tmp_path))
    with command(tmp_path) as process:
        process.communicate("go on\n", timeout=60)
    assert process.returncode == 0
    assert list((tmp_path / FOLDER).iterdir()) == []
