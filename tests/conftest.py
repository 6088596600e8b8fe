"""The house rules of a test run: nothing of the user's is touched, and in CI nothing is skipped."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer

from tasks.adapters.prefect_server import CLIENT_SETTINGS, LocalPrefectServer
from tests.support.turns import Turns

ALLOWED_SKIPS: dict[str, str] = {}
"""Part of a skip's reason -> why CI may skip it all the same."""

MADE_HERE = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Before anything imports Prefect: its settings are read once. Workers of xdist inherit all of it."""
    if "BAKEWELL_HOME" not in os.environ:
        home = Path(tempfile.mkdtemp(prefix="bakewell-tests-"))
        os.environ["BAKEWELL_HOME"] = str(home)
        config.stash[MADE_HERE] = home
    os.environ.setdefault("PREFECT_HOME", str(Path(os.environ["BAKEWELL_HOME"]) / "prefect"))
    for name, value in CLIENT_SETTINGS.items():
        os.environ.setdefault(name, value)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipCount(), "skip-count")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole files, in their own order. What takes minutes begins first: begun last, it would keep one worker busy while the
    others have nothing to do. Flows come last: Prefect's threads use `random`, which hypothesis minds."""
    items.sort(key=lambda item: _TURNS.get(item.path.parent.name, 0) - ("killed" in item.path.name))


_TURNS = {"e2e": -2, "containers": -4, "rules": -1, "flows": 1}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Turns:
    return Turns(config, log)


def pytest_unconfigure(config: pytest.Config) -> None:
    """A flow test may have started the home's server; it ends with the run."""
    if (home := config.stash.get(MADE_HERE, None)) is not None:
        LocalPrefectServer(home).stop()
        shutil.rmtree(home, ignore_errors=True)


class SkipCount:
    """A check that was skipped in CI is a check nobody did: the session fails and says which."""

    def __init__(self) -> None:
        self.forbidden: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._note(report.nodeid, report.longrepr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._note(report.nodeid, report.longrepr)

    def _note(self, test: str, why: object) -> None:
        reason = str(why[2] if isinstance(why, tuple) else why)
        if os.environ.get("CI") and not any(part in reason for part in ALLOWED_SKIPS):
            self.forbidden.append(f"{test}: {reason}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.forbidden and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(wrapper=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
        yield
        if self.forbidden:
            terminalreporter.section("skipped, which CI does not allow", red=True)
            for line in self.forbidden:
                terminalreporter.line(line)
