"""Images in a real registry that asks who we are, lacks them, or is down: each is told apart, and no password is told."""

import json
import os
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.adapters import trivy_config, trivy_process
from tasks.adapters.docker_login import credentials_for
from tasks.adapters.registry import RegistryStore
from tasks.adapters.trivy import TrivyScanner
from tasks.evidence import Scanned, ScanNotDone, ScanReport
from tasks.model import Artifact
from tests.support.engines import free_port
from tests.support.images import ImageKind, image
from tests.support.registry import Registry, running_registry
from tests.support.scanners import need_trivy, scanner_home

pytestmark = pytest.mark.engine
USER, PASSWORD = "baker", "canary-sourdough"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    need_trivy()
    return scanner_home(tmp_path, monkeypatch)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Registry]:
    with running_registry(tmp_path / "registry", USER, PASSWORD) as running:
        yield running


def log_in(folder: Path, host: str, monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    """As `docker login` does it."""
    folder.mkdir(exist_ok=True)
    auth = b64encode(f"{USER}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))


def opened(repository: str) -> RegistryStore:
    return RegistryStore(repository, lambda: credentials_for(repository))


def test_a_registry_that_wants_a_password_is_scanned_with_the_one_that_docker_knows(
    tmp_path: Path, home: Path, guarded: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(tmp_path / "docker", guarded.host, monkeypatch, PASSWORD)
    artifact = image(opened(f"{guarded.host}/hello"), ImageKind.FIXABLE_CRITICAL)
    scanned = TrivyScanner(home, opened).scan(artifact, 60)
    assert isinstance(scanned.report, ScanReport), scanned.report
    assert "CVE-2099-1001" in {one.id for one in scanned.report.findings}
    assert not _mentions(home, scanned, PASSWORD)


@pytest.mark.parametrize("password", ["", "canary-wrong"])
def test_a_registry_that_does_not_let_us_in_is_a_scan_not_done_and_says_so(
    tmp_path: Path, home: Path, guarded: Registry, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    log_in(tmp_path / "docker", guarded.host, monkeypatch, PASSWORD)
    artifact = image(opened(f"{guarded.host}/hello"), ImageKind.CLEAN)
    if password:
        log_in(tmp_path / "docker", guarded.host, monkeypatch, password)
    else:
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "nobody"))
    scanned = TrivyScanner(home, opened).scan(artifact, 60)
    assert isinstance(scanned.report, ScanNotDone)
    wanted = "password" if not password else "401"
    assert wanted in scanned.report.reason
    assert not _mentions(home, scanned, "canary-wrong")


def test_an_image_that_is_not_there_and_a_registry_that_is_down_are_told_apart(
    tmp_path: Path, home: Path
) -> None:
    digest = f"sha256:{'1' * 64}"
    with running_registry(tmp_path / "registry") as registry:
        missing = Artifact("hello", digest, f"{registry.host}/hello")
        report = TrivyScanner(home, RegistryStore).scan(missing, 60).report
    assert isinstance(report, ScanNotDone)
    assert "404" in report.reason or "does not exist" in report.reason, report.reason
    down = Artifact("hello", digest, f"127.0.0.1:{free_port()}/hello")
    report = TrivyScanner(home, RegistryStore).scan(down, 60).report
    assert isinstance(report, ScanNotDone)
    assert "did not answer" in report.reason


def test_no_token_is_an_argument_of_any_process(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process was started with can be read by everybody on its machine."""
    monkeypatch.setenv("BAKEWELL_TRIVY_SERVER", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("BAKEWELL_TRIVY_TOKEN", "canary-token")
    programs = tmp_path / "bin"
    programs.mkdir()
    spy = programs / "trivy"
    spy.write_text(
        f"#!/bin/bash\nenv >{tmp_path / 'env'}; tr '\\0' ' ' </proc/$PPID/cmdline >{tmp_path / 'up'};"
        f' echo "$@" >{tmp_path / "own"}; cat trivy.json ../trivy.json >{tmp_path / "config"}; exit 1\n'
    )
    spy.chmod(0o755)
    there = f"{programs}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setattr("tasks.adapters.trivy_process.search_path", lambda: there)
    with trivy_process.work_folder() as work, pytest.raises(Exception, match="asked Trivy"):
        trivy_process.ask("scan", "x", trivy_config.config(work, work, 5), work, 20)
    for name in ("up", "own", "config"):
        assert "canary-token" not in (tmp_path / name).read_text()
    assert "TRIVY_TOKEN=canary-token" in (tmp_path / "env").read_text()


def _mentions(home: Path, scanned: Scanned, secret: str) -> bool:
    """In what was told, or anywhere in the scanner's home, plain or as Basic log-in."""
    told = str(scanned.report).encode() + scanned.cyclonedx + scanned.spdx
    files = b"".join(one.read_bytes() for one in home.rglob("*") if one.is_file())
    basic = b64encode(f"{USER}:{secret}".encode())
    return any(one in told + files for one in (secret.encode(), basic))
