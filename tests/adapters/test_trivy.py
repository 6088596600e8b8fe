"""The real Trivy: what it knows is found, and whatever keeps it from looking is a scan that was not done."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from tasks.adapters import trivy_process
from tasks.adapters.layout import LayoutStore
from tasks.adapters.registry import RegistryStore
from tasks.adapters.trivy import TrivyScanner, prepare_database
from tasks.bake.bakery import bake
from tasks.errors import BakewellError
from tasks.evidence import FindingKind, ScanNotDone, ScanReport, Severity
from tasks.model import Admission, Artifact
from tasks.ports import ArtifactStore
from tasks.scan.scanning import scan_with
from tasks.service import ScanPolicy, WithoutDatabase
from tests.support.baking import service
from tests.support.engines import free_port, missing
from tests.support.registry import running_registry
from tests.support.trivy_db import write_database

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def _there() -> None:
    try:
        trivy_process.binary()
    except BakewellError as error:
        missing(str(error))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a database of today, and no way to a newer one."""
    monkeypatch.setenv("BAKEWELL_TRIVY_DB", f"127.0.0.1:{free_port()}/trivy-db:2")
    write_database(tmp_path / "trivy" / "db", datetime.now(UTC))
    return tmp_path / "trivy"


@pytest.fixture
def store(tmp_path: Path) -> LayoutStore:
    return LayoutStore(tmp_path / "artifacts")


def source(folder: Path, secret: bool = False) -> Path:
    """A service with one vulnerable package, and one for which no fix exists."""
    for name in ("leaky", "hopeless", "fine"):
        info = folder / "site" / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (folder / "main.py").write_text("print('hello')\n")
    if secret:
        (folder / "main.py").write_text("AWS_ACCESS_KEY_ID = 'AKIAIOSFODNN7EXAMPLQ'\n")
    return folder


def baked(tmp_path: Path, store: ArtifactStore, secret: bool = False) -> Artifact:
    folder = source(tmp_path / "source", secret)
    spec = service(files={"main.py": "/app/main.py", "site": "/packages"})
    return bake(spec, folder, store, tmp_path / "bake").artifact


def scanner(cache: Path, store: ArtifactStore) -> TrivyScanner:
    return TrivyScanner(cache, lambda repository: store)


def test_what_is_known_is_found_with_its_fix(
    tmp_path: Path, cache: Path, store: LayoutStore
) -> None:
    artifact = baked(tmp_path, store, secret=True)
    report = scanner(cache, store).scan(artifact, 60)
    assert isinstance(report, ScanReport)
    assert (report.digest, report.packages) == (artifact.digest, 3)
    assert report.scanner.startswith("trivy 0.")
    assert datetime.now(UTC) - report.database_updated_at < timedelta(minutes=5)
    found = {one.package: one for one in report.findings if one.kind is FindingKind.VULNERABILITY}
    assert found.keys() == {"leaky", "hopeless"}
    assert (found["leaky"].severity, found["leaky"].fixed_version) == (Severity.CRITICAL, "2.0")
    assert (found["hopeless"].severity, found["hopeless"].fixed_version) == (Severity.HIGH, "")
    (secret,) = (one for one in report.findings if one.kind is FindingKind.SECRET)
    assert secret.package == "/app/main.py"
    assert "AKIA" not in str(report)


def test_of_many_images_in_one_layout_the_one_with_the_digest_is_scanned(
    tmp_path: Path, cache: Path, store: LayoutStore
) -> None:
    vulnerable = baked(tmp_path, store)
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "main.py").write_text("print('other')\n")
    other = bake(service(), folder, store, tmp_path / "bake").artifact
    first, second = (scanner(cache, store).scan(one, 60) for one in (vulnerable, other))
    assert isinstance(first, ScanReport)
    assert isinstance(second, ScanReport)
    assert len(first.findings) == 2
    assert (second.findings, second.packages) == ((), 0)


def test_a_registry_is_scanned_by_digest(tmp_path: Path, cache: Path) -> None:
    with running_registry(tmp_path / "registry") as registry:
        remote = RegistryStore(f"{registry.host}/hello")
        report = scanner(cache, remote).scan(baked(tmp_path, remote), 60)
    assert isinstance(report, ScanReport)
    assert len(report.findings) == 2


def test_the_bill_of_materials_lists_every_package(
    tmp_path: Path, cache: Path, store: LayoutStore
) -> None:
    bill = json.loads(scanner(cache, store).bill_of_materials(baked(tmp_path, store), 60))
    assert bill["bomFormat"] == "CycloneDX"
    names = {one["name"] for one in bill["components"]}
    assert {"leaky", "hopeless", "fine"} <= names


def test_the_bill_of_materials_names_the_artifact_and_is_the_same_wherever_it_lies(
    tmp_path: Path, cache: Path, store: LayoutStore
) -> None:
    artifact = baked(tmp_path, store)
    first, again = (scanner(cache, store).bill_of_materials(artifact, 60) for _ in range(2))
    with running_registry(tmp_path / "registry") as registry:
        remote = RegistryStore(f"{registry.host}/hello")
        copy = baked(tmp_path / "again", remote)
        elsewhere = scanner(cache, remote).bill_of_materials(copy, 60)
    assert copy.digest == artifact.digest
    assert first == again == elsewhere
    subject = json.loads(first)["metadata"]["component"]
    assert (subject["name"], subject["version"]) == ("hello", artifact.digest)
    assert str(tmp_path).encode() not in first
    assert tempfile.gettempdir().encode() not in first


def test_what_depends_on_what_is_still_right_in_a_settled_bill(
    tmp_path: Path, cache: Path, store: LayoutStore
) -> None:
    bill = json.loads(scanner(cache, store).bill_of_materials(baked(tmp_path, store), 60))
    subject = bill["metadata"]["component"]["bom-ref"]
    inside = {one["bom-ref"] for one in bill["components"]}
    edges = {one["ref"]: set(one["dependsOn"]) for one in bill["dependencies"]}
    assert edges.keys() == {subject, *inside}
    assert edges[subject] == inside


def test_without_a_database_the_scan_is_not_done_but_secrets_and_packages_are_told(
    tmp_path: Path, store: LayoutStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEWELL_TRIVY_DB", f"127.0.0.1:{free_port()}/trivy-db:2")
    empty = tmp_path / "empty"
    found = scanner(empty, store).scan(baked(tmp_path, store, secret=True), 60)
    assert isinstance(found, ScanNotDone)
    assert "no mirror of it can be reached (127.0.0.1" in found.reason
    assert found.packages == 3
    assert [one.package for one in found.secrets] == ["/app/main.py"]
    began = time.monotonic()
    assert "no mirror" in prepare_database(empty), "remembered, not tried again at once"
    assert time.monotonic() - began < 0.2


def test_an_old_database_that_cannot_be_renewed_is_used_and_its_age_is_told(
    tmp_path: Path, cache: Path, store: LayoutStore
) -> None:
    old = datetime.now(UTC) - timedelta(days=90)
    write_database(cache / "db", old)
    report = scanner(cache, store).scan(baked(tmp_path, store), 60)
    assert isinstance(report, ScanReport)
    assert abs(report.database_updated_at - old) < timedelta(seconds=2)


@pytest.mark.parametrize("broken", ["trivy.db", "metadata.json"])
def test_a_broken_database_is_a_scan_not_done(
    tmp_path: Path, cache: Path, store: LayoutStore, broken: str
) -> None:
    (cache / "db" / broken).write_bytes(b"garbage")
    assert isinstance(scanner(cache, store).scan(baked(tmp_path, store), 60), ScanNotDone)


def test_a_registry_that_is_down_and_an_image_that_is_not_there_are_scans_not_done(
    tmp_path: Path, cache: Path, store: LayoutStore
) -> None:
    digest = "sha256:" + "0" * 64
    nowhere = Artifact("hello", digest, f"127.0.0.1:{free_port()}/hello")
    for artifact in (nowhere, Artifact("hello", digest, store.repository)):
        found = scanner(cache, store).scan(artifact, 60)
        assert isinstance(found, ScanNotDone)
        assert found.reason


def test_files_that_would_hide_findings_are_not_looked_for(
    tmp_path: Path, cache: Path, store: LayoutStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".trivyignore").write_text("CVE-2099-0001\nCVE-2099-0002\n")
    (tmp_path / "trivy.yaml").write_text("severity: [LOW]\n")
    (tmp_path / "trivy-secret.yaml").write_text("disable-rules: [aws-access-key-id]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIVY_SEVERITY", "LOW")
    monkeypatch.setenv("TRIVY_IGNOREFILE", str(tmp_path / ".trivyignore"))
    report = scanner(cache, store).scan(baked(tmp_path, store, secret=True), 60)
    assert isinstance(report, ScanReport)
    assert len(report.findings) == 3


# ---- a scanner that misbehaves -------------------------------------------------------------------

HANGING = "sleep 1000 & echo $! >>{pids}; echo $$ >>{pids}; trap '' TERM; wait; wait\n"


@pytest.fixture
def pretender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A `trivy` of our own; the test writes what it does. In front of the real one on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / "trivy"
    monkeypatch.setattr(trivy_process, "_path", lambda: f"{folder}{os.pathsep}{os.environ['PATH']}")
    yield path
    pids = tmp_path / "pids"
    for line in pids.read_text().split() if pids.exists() else ():
        if psutil.pid_exists(int(line)):
            os.kill(int(line), signal.SIGKILL)


def pretend(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/bash\n{script}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def without_bills() -> str:
    """The real Trivy, but it fails at SBOMs."""
    beside = Path(sys.executable).parent
    real = shutil.which("trivy", path=f"{beside}{os.pathsep}{os.environ['PATH']}")
    return f'case "$*" in *cyclonedx*) echo boom >&2; exit 1;; esac; exec {real} "$@"\n'


def alive(pids: Path) -> list[int]:
    return [int(line) for line in pids.read_text().split() if _alive(int(line))]


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(condition: object, seconds: float = 5) -> bool:
    assert callable(condition)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_hanging_scanner_is_killed_at_the_deadline_with_everything_it_started(
    tmp_path: Path, cache: Path, store: LayoutStore, pretender: Path
) -> None:
    artifact, pids = baked(tmp_path, store), tmp_path / "pids"
    pretend(pretender, HANGING.format(pids=pids))
    began = time.monotonic()
    found = scanner(cache, store).scan(artifact, 2)
    assert time.monotonic() - began < 4
    assert isinstance(found, ScanNotDone)
    assert "no answer in 2 s" in found.reason
    assert until(lambda: alive(pids) == []), "nothing of it is left"


def test_a_killed_scanner_is_a_scan_not_done(
    tmp_path: Path, cache: Path, store: LayoutStore, pretender: Path
) -> None:
    artifact, pids = baked(tmp_path, store), tmp_path / "pids"
    pretend(pretender, f"echo $$ >>{pids}; exec sleep 1000\n")

    def kill() -> None:
        assert until(lambda: pids.exists() and pids.read_text().strip())
        os.kill(int(pids.read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    found = scanner(cache, store).scan(artifact, 30)
    killer.join()
    assert isinstance(found, ScanNotDone)


def test_a_killed_child_leaves_no_scanner_behind(
    tmp_path: Path, cache: Path, store: LayoutStore, pretender: Path
) -> None:
    artifact, pids = baked(tmp_path, store), tmp_path / "pids"
    pretend(pretender, f"echo $PPID >{tmp_path / 'child'}; {HANGING.format(pids=pids)}")

    def kill() -> None:
        assert until(lambda: pids.exists() and len(pids.read_text().split()) >= 2)
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    found = scanner(cache, store).scan(artifact, 30)
    killer.join()
    assert isinstance(found, ScanNotDone)
    assert "killed by signal 9" in found.reason
    assert until(lambda: alive(pids) == []), "nothing of it is left"


def test_what_was_found_wrong_is_not_forgotten_when_the_bill_of_materials_fails(
    tmp_path: Path, cache: Path, store: LayoutStore, pretender: Path
) -> None:
    pretend(pretender, without_bills())
    policy = ScanPolicy(without_database=WithoutDatabase.RUN)
    scanned = scan_with(scanner(cache, store), baked(tmp_path, store), policy)
    assert scanned.decision.answer is Admission.REFUSE
    assert "CVE-2099-0001" in scanned.decision.reason
    assert scanned.bill_of_materials == b""


def test_a_clean_scan_does_not_count_when_the_bill_of_materials_fails(
    tmp_path: Path, cache: Path, store: LayoutStore, pretender: Path
) -> None:
    pretend(pretender, without_bills())
    (tmp_path / "main.py").write_text("print('clean')\n")
    artifact = bake(service(), tmp_path, store, tmp_path / "bake").artifact
    assert isinstance(scanner(cache, store).scan(artifact, 60), ScanReport)
    scanned = scan_with(scanner(cache, store), artifact, ScanPolicy())
    assert scanned.decision.answer is Admission.REFUSE
    assert isinstance(scanned.report, ScanNotDone)
    assert "boom" in scanned.report.reason


ANSWERS = {
    "nothing": "exit 0",
    "garbage": "echo this is no report",
    "an empty object": "echo '{}'",
    "another schema": """echo '{"SchemaVersion": 3, "Results": []}'""",
    "a list": "echo '[]'",
    "a failure": "echo FATAL boom >&2; exit 1",
}


@pytest.mark.parametrize("script", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_that_is_no_report_is_a_scan_not_done(
    tmp_path: Path, cache: Path, store: LayoutStore, pretender: Path, script: str
) -> None:
    artifact = baked(tmp_path, store)
    pretend(pretender, f"{script}\n")
    found = scanner(cache, store).scan(artifact, 20)
    assert isinstance(found, ScanNotDone)
    assert found.reason


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a death")
def test_a_killed_parent_leaves_no_scanner_behind(
    tmp_path: Path, cache: Path, store: LayoutStore, pretender: Path
) -> None:
    artifact, pids = baked(tmp_path, store), tmp_path / "pids"
    pretend(pretender, HANGING.format(pids=pids))
    code = f"""
        import os
        from pathlib import Path
        from tasks.adapters import trivy, trivy_process
        from tasks.adapters.layout import LayoutStore
        from tasks.model import Artifact
        trivy_process._path = lambda: {str(pretender.parent)!r} + os.pathsep + os.environ["PATH"]
        store = LayoutStore(Path({str(tmp_path / "artifacts")!r}))
        artifact = Artifact("hello", {artifact.digest!r}, store.repository)
        trivy.TrivyScanner(Path({str(cache)!r}), lambda name: store).scan(artifact, 60)
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    assert until(lambda: pids.exists() and len(pids.read_text().split()) >= 2, 20)
    parent.kill()
    parent.wait()
    assert until(lambda: alive(pids) == []), "nothing of it is left"
