"""The real Trivy: what it knows is found, whatever would hide it, and a stored bill tells the same as the image."""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.adapters.layout import LayoutStore
from tasks.adapters.registry import RegistryStore
from tasks.adapters.trivy import prepare_database
from tasks.evidence import Finding, FindingKind, Scanned, ScanNotDone, ScanReport, Severity
from tasks.model import Artifact
from tasks.ports import ArtifactStore
from tasks.scan.scanning import Known, rescan_many, rescan_with
from tests.support.engines import free_port
from tests.support.images import (
    ENV_SECRET,
    FILE_SECRET,
    Content,
    ImageKind,
    debian,
    image,
    image_of,
    python_package,
)
from tests.support.registry import running_registry
from tests.support.scanners import need_trivy, scanner, scanner_home
from tests.support.trivy_db import KNOWN, Advisory, write_database

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def _there() -> None:
    need_trivy()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return scanner_home(tmp_path, monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> LayoutStore:
    return LayoutStore(tmp_path / "artifacts")


def everything(store: ArtifactStore) -> Artifact:
    """One image with each thing that is known to be wrong."""
    files = {
        **debian(
            "libssl3 openssl 3.0.20-1~deb12u2", "zlib1g zlib 1:1.2.13.dfsg-1", "bash bash 5.2.15-2"
        ),
        **python_package("leaky", "1.0", "AGPL-3.0-only"),
        **python_package("hopeless", "1.0"),
        "app/settings.py": f'KEY = "{FILE_SECRET}"\n',
    }
    content = Content(files, (f"GH_TOKEN={ENV_SECRET}",))
    return image_of(store, content, "hello", "everything")


def report_of(scanned: Scanned) -> ScanReport:
    assert isinstance(scanned.report, ScanReport), scanned.report
    return scanned.report


def of_kind(findings: Iterable[Finding], kind: FindingKind) -> dict[str, Finding]:
    return {one.id: one for one in findings if one.kind is kind}


def test_what_is_known_is_found_with_its_fix_its_day_and_its_purl(
    home: Path, store: LayoutStore
) -> None:
    artifact = everything(store)
    report = report_of(scanner(home, store).scan(artifact, 60))
    assert (report.digest, report.packages, report.of_bill) == (artifact.digest, 5, False)
    assert report.scanner == "trivy 0.76.0"
    assert datetime.now(UTC) - report.database_updated_at < timedelta(minutes=5)
    found = of_kind(report.findings, FindingKind.VULNERABILITY)
    told = {
        one.id: (one.package, one.installed_version, one.fixed_version, one.severity)
        for one in found.values()
    }
    assert told == {
        "CVE-2099-0001": ("leaky", "1.0", "2.0", Severity.CRITICAL),
        "CVE-2099-0002": ("hopeless", "1.0", "", Severity.HIGH),
        "CVE-2099-1001": ("libssl3", "3.0.20-1~deb12u2", "9.0.0-1", Severity.CRITICAL),
        "CVE-2099-1002": ("zlib1g", "1:1.2.13.dfsg-1", "", Severity.CRITICAL),
        "CVE-2099-1003": ("bash", "5.2.15-2", "", Severity.HIGH),
    }
    assert {one.published_at for one in found.values()} == {datetime(2024, 1, 1, tzinfo=UTC)}
    assert found["CVE-2099-0001"].purl == "pkg:pypi/leaky@1.0"
    assert found["CVE-2099-1001"].purl.startswith("pkg:deb/debian/libssl3@3.0.20-1~deb12u2?")


def test_a_vulnerability_whose_day_nobody_knows_has_none(home: Path, store: LayoutStore) -> None:
    undated = Advisory("CVE-2099-0009", "leaky", "<2.0", "2.0", "LOW", published="")
    write_database(home / "db", datetime.now(UTC), [undated])
    report = report_of(scanner(home, store).scan(everything(store), 60))
    assert of_kind(report.findings, FindingKind.VULNERABILITY)["CVE-2099-0009"].published_at is None


def test_secrets_in_files_and_in_the_environment_are_found_and_not_repeated(
    home: Path, store: LayoutStore
) -> None:
    scanned = scanner(home, store).scan(everything(store), 60)
    report = report_of(scanned)
    found = of_kind(report.findings, FindingKind.SECRET)
    assert found["aws-access-key-id"].package == "/app/settings.py"
    assert found["github-pat"].package == "the image's configuration: GH_TOKEN"
    assert {one.severity for one in found.values()} == {Severity.CRITICAL}
    told = f"{report}".encode() + scanned.cyclonedx + scanned.spdx
    for secret in (FILE_SECRET, ENV_SECRET):
        assert secret.encode() not in told
        assert not any(
            secret.encode() in file.read_bytes() for file in home.rglob("*") if file.is_file()
        )


def test_each_licence_of_each_package_is_a_finding_also_one_that_is_merely_noted(
    home: Path, store: LayoutStore
) -> None:
    report = report_of(scanner(home, store).scan(image(store, ImageKind.LICENCE), 60))
    found = of_kind(report.findings, FindingKind.LICENCE)
    assert found.keys() == {"AGPL-3.0-only", "MIT"}
    greedy, fine = found["AGPL-3.0-only"], found["MIT"]
    assert (greedy.package, greedy.installed_version, greedy.purl) == (
        "greedy",
        "1.0",
        "pkg:pypi/greedy@1.0",
    )
    assert (greedy.severity, greedy.title) == (Severity.CRITICAL, "forbidden licence")
    assert (fine.package, fine.severity, fine.title) == ("fine", Severity.LOW, "notice licence")


@pytest.mark.parametrize("kind", ImageKind)
def test_of_each_small_image_exactly_what_is_wrong_with_it_is_found(
    home: Path, store: LayoutStore, kind: ImageKind
) -> None:
    wrong = {
        ImageKind.CLEAN: set(),
        ImageKind.FIXABLE_CRITICAL: {"CVE-2099-1001"},
        ImageKind.UNFIXED_CRITICAL: {"CVE-2099-1002"},
        ImageKind.WILL_NOT_FIX: {"CVE-2099-1003"},
        ImageKind.PYTHON_CRITICAL: {"CVE-2099-0001"},
        ImageKind.UNRECOGNISED: set(),
        ImageKind.SECRET_IN_FILE: {"aws-access-key-id"},
        ImageKind.SECRET_IN_ENV: {"github-pat"},
        ImageKind.LICENCE: {"AGPL-3.0-only"},
    }
    report = report_of(scanner(home, store).scan(image(store, kind), 60))
    assert {one.id for one in report.findings if one.id != "MIT"} == wrong[kind]
    assert (report.packages == 0) == (kind is ImageKind.UNRECOGNISED)


def test_of_many_images_in_one_layout_the_one_with_the_digest_is_scanned(
    home: Path, store: LayoutStore
) -> None:
    vulnerable, clean = everything(store), image(store, ImageKind.CLEAN)
    first, second = (report_of(scanner(home, store).scan(one, 60)) for one in (vulnerable, clean))
    assert of_kind(first.findings, FindingKind.VULNERABILITY)
    assert not of_kind(second.findings, FindingKind.VULNERABILITY)


def test_a_registry_is_scanned_by_digest(tmp_path: Path, home: Path) -> None:
    with running_registry(tmp_path / "registry") as registry:
        remote = RegistryStore(f"{registry.host}/hello")
        report = report_of(scanner(home, remote).scan(everything(remote), 60))
    assert len(of_kind(report.findings, FindingKind.VULNERABILITY)) == 5
    secrets = of_kind(report.findings, FindingKind.SECRET)
    assert secrets["github-pat"].package == "the image's configuration: GH_TOKEN"


def test_files_and_variables_that_would_hide_findings_are_not_looked_for(
    tmp_path: Path, home: Path, store: LayoutStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    everyone = "\n".join(one.id for one in KNOWN)
    (tmp_path / ".trivyignore").write_text(everyone)
    (tmp_path / "trivy.yaml").write_text("severity: [LOW]\n")
    (tmp_path / "trivy-secret.yaml").write_text("disable-rules: [aws-access-key-id]\n")
    (tmp_path / "vex.json").write_text(_vex([one.id for one in KNOWN]))
    (tmp_path / "policy.rego").write_text("package trivy\ndefault ignore = true\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in {
        "SEVERITY": "LOW",
        "IGNOREFILE": str(tmp_path / ".trivyignore"),
        "IGNORE_POLICY": str(tmp_path / "policy.rego"),
        "IGNORE_UNFIXED": "true",
        "VEX": str(tmp_path / "vex.json"),
        "SCANNERS": "misconfig",
        "PKG_TYPES": "library",
        "CONFIG": str(tmp_path / "trivy.yaml"),
        "SECRET_CONFIG": str(tmp_path / "trivy-secret.yaml"),
        "OUTPUT": str(tmp_path / "output.json"),
        "FORMAT": "table",
    }.items():
        monkeypatch.setenv(f"TRIVY_{name}", value)
    report = report_of(scanner(home, store).scan(everything(store), 60))
    assert len(of_kind(report.findings, FindingKind.VULNERABILITY)) == 5
    assert len(of_kind(report.findings, FindingKind.SECRET)) == 2
    assert not (tmp_path / "output.json").exists()


def _vex(ids: list[str]) -> str:
    """OpenVEX that calls all of them harmless."""
    product = {"@id": "pkg:pypi/leaky@1.0"}
    said = [
        {
            "vulnerability": {"name": one},
            "products": [product],
            "status": "not_affected",
            "justification": "vulnerable_code_not_present",
        }
        for one in ids
    ]
    return json.dumps(
        {
            "@context": "https://openvex.dev/ns/v0.2.0",
            "@id": "https://example.test/vex",
            "author": "somebody",
            "timestamp": "2026-01-01T00:00:00Z",
            "version": 1,
            "statements": said,
        }
    )


def test_without_a_database_the_scan_is_not_done_but_secrets_and_packages_are_told(
    tmp_path: Path, home: Path, store: LayoutStore
) -> None:
    scanned = scanner(tmp_path / "empty", store).scan(everything(store), 60)
    found = scanned.report
    assert isinstance(found, ScanNotDone)
    assert "no mirror of it can be reached (127.0.0.1" in found.reason
    assert found.packages == 5
    assert {one.id for one in found.secrets} == {"aws-access-key-id", "github-pat"}
    assert json.loads(scanned.cyclonedx)["components"], "what is inside is known all the same"


def test_an_old_database_that_cannot_be_renewed_is_used_and_its_age_is_told(
    home: Path, store: LayoutStore
) -> None:
    old = datetime.now(UTC) - timedelta(days=90)
    write_database(home / "db", old)
    report = report_of(scanner(home, store).scan(everything(store), 60))
    assert abs(report.database_updated_at - old) < timedelta(seconds=2)
    assert "cannot be renewed" in prepare_database(home)


@pytest.mark.parametrize("broken", ["trivy.db", "metadata.json"])
def test_a_broken_database_is_a_scan_not_done(home: Path, store: LayoutStore, broken: str) -> None:
    (home / "db" / broken).write_bytes(b"garbage")
    assert isinstance(scanner(home, store).scan(everything(store), 60).report, ScanNotDone)


def test_a_registry_that_is_down_and_an_image_that_is_not_there_are_scans_not_done(
    home: Path, store: LayoutStore
) -> None:
    digest = "sha256:" + "0" * 64
    nowhere = Artifact("hello", digest, f"127.0.0.1:{free_port()}/hello")
    for artifact in (nowhere, Artifact("hello", digest, store.repository)):
        scanned = scanner(home, store).scan(artifact, 60)
        assert isinstance(scanned.report, ScanNotDone)
        assert scanned.report.reason
        assert (scanned.cyclonedx, scanned.spdx) == (b"", b"")


# ---- a stored bill, looked at again --------------------------------------------------------------


def without_secrets(report: ScanReport) -> set[Finding]:
    return {one for one in report.findings if one.kind is not FindingKind.SECRET}


def test_a_stored_bill_tells_the_same_vulnerabilities_and_licences_as_the_image(
    home: Path, store: LayoutStore
) -> None:
    artifact, eyes = everything(store), scanner(home, store)
    scanned = eyes.scan(artifact, 60)
    again = eyes.rescan(artifact, scanned.cyclonedx, 60)
    assert isinstance(again, ScanReport)
    assert again.of_bill
    assert set(again.findings) == without_secrets(report_of(scanned))
    assert again.packages == report_of(scanned).packages


def test_what_has_become_known_since_is_found_in_a_stored_bill_without_the_image(
    home: Path, store: LayoutStore
) -> None:
    eyes, artifact = scanner(home, store), image(store, ImageKind.CLEAN)
    bill = eyes.scan(artifact, 60).cyclonedx
    new = Advisory("CVE-2099-7777", "fine", "<2.0", "2.0", "CRITICAL")
    write_database(home / "db", datetime.now(UTC), [new])
    gone = Artifact("hello", artifact.digest, f"127.0.0.1:{free_port()}/gone")
    report = eyes.rescan(gone, bill, 60)
    assert isinstance(report, ScanReport)
    assert of_kind(report.findings, FindingKind.VULNERABILITY).keys() == {"CVE-2099-7777"}


def test_another_artifacts_bill_and_no_bill_at_all_are_scans_not_done(
    home: Path, store: LayoutStore
) -> None:
    eyes, artifact = scanner(home, store), image(store, ImageKind.CLEAN)
    bill = eyes.scan(everything(store), 60).cyclonedx
    hollow = json.dumps({"metadata": {"component": {"version": artifact.digest}}}).encode()
    for wrong in (bill, b"", b"{}", b"[]", bill[:-20], hollow):
        report = eyes.rescan(artifact, wrong, 60)
        assert isinstance(report, ScanNotDone), wrong[:80]
    assert "it is about sha256:" in str(eyes.rescan(artifact, bill, 60))


def test_without_a_database_a_stored_bill_is_not_scanned(
    tmp_path: Path, home: Path, store: LayoutStore
) -> None:
    artifact = everything(store)
    bill = scanner(home, store).scan(artifact, 60).cyclonedx
    found = scanner(tmp_path / "empty", store).rescan(artifact, bill, 60)
    assert isinstance(found, ScanNotDone)
    assert "there is no vulnerability database" in found.reason


def test_secrets_stay_found_when_only_the_bill_is_looked_at_again(
    home: Path, store: LayoutStore
) -> None:
    artifact, eyes = everything(store), scanner(home, store)
    scanned = eyes.scan(artifact, 60)
    report = rescan_with(eyes, Known(artifact, scanned.cyclonedx, scanned.report))
    assert isinstance(report, ScanReport)
    assert set(report.findings) == set(report_of(scanned).findings)


def test_many_bills_are_looked_at_in_order_and_one_that_is_broken_stops_no_other(
    home: Path, store: LayoutStore
) -> None:
    eyes, said = scanner(home, store), list[str]()
    kinds = (ImageKind.FIXABLE_CRITICAL, ImageKind.UNFIXED_CRITICAL, ImageKind.WILL_NOT_FIX)
    stored = []
    for kind in kinds:
        artifact = image(store, kind)
        scanned = eyes.scan(artifact, 60)
        stored.append(Known(artifact, scanned.cyclonedx, scanned.report))
    stored.insert(1, replace(stored[0], cyclonedx=b"broken"))
    first, broken, *others = rescan_many(stored, said.append, eyes)
    assert isinstance(broken, ScanNotDone)
    found = [
        [one.id for one in report.findings if one.kind is FindingKind.VULNERABILITY]
        for report in (first, *others)
        if isinstance(report, ScanReport)
    ]
    assert found == [["CVE-2099-1001"], ["CVE-2099-1002"], ["CVE-2099-1003"]]
    assert said[-1] == "looked again at 4 of 4 bills of materials"


def test_the_child_does_not_wait_for_a_type_checker_that_does_nothing_there() -> None:
    """typeguard takes longer to import than Trivy for a bill of materials. It must still be pytrivy that is asked."""
    script = (
        "from tasks.adapters.trivy_child import _scanned; import sys; print(_scanned('sbom', 'x', '/nowhere'));"
        "print(sys.modules['trivy.classes'].TrivyClient.__name__, 'typeguard._checkers' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-O", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    problem, imported = done.stdout.splitlines()
    assert "passed but does not exist" in problem
    assert imported == "TrivyClient False"
