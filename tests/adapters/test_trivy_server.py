"""A real `trivy server` that many may ask: what it knows is found, and what it is not is said."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tasks.adapters import trivy_server
from tasks.adapters.layout import LayoutStore
from tasks.adapters.trivy import prepare_database
from tasks.errors import InvalidInputError, TransientError
from tasks.evidence import FindingKind, ScanNotDone, ScanReport
from tests.support.engines import free_port, running
from tests.support.images import ImageKind, image
from tests.support.scanners import need_trivy, real_trivy, scanner, scanner_home
from tests.support.trivy_db import write_database

pytestmark = pytest.mark.engine


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Without a database of its own."""
    need_trivy()
    scanner_home(tmp_path, monkeypatch)
    return tmp_path / "empty"


@pytest.fixture
def store(tmp_path: Path) -> LayoutStore:
    return LayoutStore(tmp_path / "artifacts")


@pytest.fixture
def server(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Its cache. It asks for the token `sesame`, which is known."""
    cache, address = tmp_path / "server", f"127.0.0.1:{free_port()}"
    write_database(cache / "db", datetime.now(UTC) - timedelta(hours=3))
    command = [real_trivy(), "server", "--cache-dir", str(cache), "--skip-db-update"]
    log, url = tmp_path / "server.log", f"http://{address}"
    token = {"TRIVY_TOKEN": "sesame"}
    with running([*command, "--listen", address], log, f"{url}/healthz", environment=token):
        monkeypatch.setenv("BAKEWELL_TRIVY_SERVER", url)
        monkeypatch.setenv("BAKEWELL_TRIVY_TOKEN", "sesame")
        yield cache


def test_what_a_server_knows_is_found_and_the_age_told_is_that_of_its_database(
    home: Path, store: LayoutStore, server: Path
) -> None:
    eyes, artifact = scanner(home, store), image(store, ImageKind.FIXABLE_CRITICAL)
    scanned = eyes.scan(artifact, 60)
    assert isinstance(scanned.report, ScanReport), scanned.report
    assert "CVE-2099-1001" in {one.id for one in scanned.report.findings}
    assert scanned.report.scanner == "trivy 0.76.0 (server 0.76.0)"
    hours = (datetime.now(UTC) - scanned.report.database_updated_at).total_seconds() / 3600
    assert 2.9 < hours < 3.1
    again = eyes.rescan(artifact, scanned.cyclonedx, 60)
    assert isinstance(again, ScanReport), again
    assert set(again.findings) == set(scanned.report.findings)
    assert prepare_database(home) == ""
    assert "cannot be renewed: the server" in prepare_database(home, allowed_hours=2)
    assert not (home / "db").exists(), "nothing was downloaded"


def test_secrets_are_found_on_this_side_of_the_server(
    home: Path, store: LayoutStore, server: Path
) -> None:
    report = scanner(home, store).scan(image(store, ImageKind.SECRET_IN_ENV), 60).report
    assert isinstance(report, ScanReport)
    assert {one.id for one in report.findings if one.kind is FindingKind.SECRET} == {"github-pat"}


def test_a_wrong_token_is_a_scan_not_done(
    home: Path, store: LayoutStore, server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEWELL_TRIVY_TOKEN", "swordfish")
    report = scanner(home, store).scan(image(store, ImageKind.CLEAN), 60).report
    assert isinstance(report, ScanNotDone)
    assert "invalid token" in report.reason
    assert "swordfish" not in report.reason


def test_a_server_that_is_down_is_a_scan_not_done_but_secrets_are_told(
    home: Path, store: LayoutStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEWELL_TRIVY_SERVER", f"http://127.0.0.1:{free_port()}")
    report = scanner(home, store).scan(image(store, ImageKind.SECRET_IN_FILE), 60).report
    assert isinstance(report, ScanNotDone)
    assert "BAKEWELL_TRIVY_SERVER" in report.reason
    assert [one.id for one in report.secrets] == ["aws-access-key-id"]
    assert "does not answer" in prepare_database(home)


@pytest.mark.parametrize("wrong", ["http://example.test:4954", "example.test", "ftp://127.0.0.1"])
def test_a_server_that_would_let_all_read_the_token_is_refused(
    monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("BAKEWELL_TRIVY_SERVER", wrong)
    with pytest.raises(InvalidInputError, match="give https://"):
        trivy_server.address()


def test_servers_by_https_and_on_this_machine_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    for fine in ("https://example.test:4954", "http://127.0.0.1:4954", "http://localhost:4954"):
        monkeypatch.setenv("BAKEWELL_TRIVY_SERVER", f"{fine}/")
        assert trivy_server.address() == fine
    monkeypatch.delenv("BAKEWELL_TRIVY_SERVER")
    assert trivy_server.address() == ""
    monkeypatch.setenv("BAKEWELL_TRIVY_TOKEN", "sesame")
    assert trivy_server.environment() == {}, "no server, no token in anybody's environment"


ANSWERS = {
    '{"Version": "0.50.0", "VulnerabilityDB": {"UpdatedAt": "2026-01-01T00:00:00Z"}}': "supported",
    '{"Version": "0.76.0"}': "does not answer with them",
    "[]": "does not answer with them",
    "hello": "does not answer with them",
}


@pytest.mark.parametrize(("said", "told"), ANSWERS.items())
def test_what_is_no_server_of_our_version_is_refused(said: str, told: str) -> None:
    with _answering(said) as url, pytest.raises((InvalidInputError, TransientError), match=told):
        trivy_server.asked(url)


@contextmanager
def _answering(said: str) -> Iterator[str]:
    """The address of a server that says this to everybody."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said.encode())

        def log_message(self, *words: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
