"""Both bills of materials: by their specifications, the same each time, and the same inventory that Trivy itself lists."""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from tasks.adapters import trivy_bill, trivy_spdx
from tasks.adapters.layout import LayoutStore
from tasks.adapters.registry import RegistryStore
from tasks.evidence import FindingKind, Scanned, ScanReport
from tasks.model import Artifact
from tasks.ports import ArtifactStore
from tests.support.images import Content, ImageKind, debian, image, image_of, python_package
from tests.support.registry import running_registry
from tests.support.scanners import need_trivy, real_trivy, scanner, scanner_home

pytestmark = pytest.mark.engine

COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Files: *
License: GPL-2+ with OpenSSL exception and other-odd, terms
"""


@pytest.fixture(autouse=True)
def _there() -> None:
    need_trivy()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return scanner_home(tmp_path, monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> LayoutStore:
    return LayoutStore(tmp_path / "artifacts")


def tangled(store: ArtifactStore) -> Artifact:
    """Packages that depend on each other, one twice, licences of odd names, vulnerabilities and a secret."""
    system = debian("libssl3 openssl 3.0.20-1~deb12u2", "zlib1g zlib 1:1.2.13.dfsg-1")
    needing = (
        "Package: curl\nStatus: install ok installed\nVersion: 7.88.1-10\nArchitecture: amd64\n"
    )
    system["var/lib/dpkg/status"] += f"\n{needing}Depends: libssl3 (>= 3.0), zlib1g\n"
    again = {
        f"opt/{path}": text
        for path, text in python_package("leaky", "1.0", "AGPL-3.0-only").items()
    }
    files = {
        **system,
        **python_package("leaky", "1.0", "AGPL-3.0-only"),
        **again,
        **python_package("odd", "2.0", "Whatever licence, you like"),
        "usr/share/doc/curl/copyright": COPYRIGHT,
        "usr/share/doc/zlib1g/copyright": COPYRIGHT,
    }
    return image_of(store, Content(files, labels={"who": "me"}), "hello", "tangled")


def bills_of(scanned: Scanned) -> tuple[dict[str, Any], dict[str, Any]]:
    assert isinstance(scanned.report, ScanReport), scanned.report
    return json.loads(scanned.cyclonedx), json.loads(scanned.spdx)


@pytest.mark.parametrize("kind", ["tangled", ImageKind.UNRECOGNISED, ImageKind.LICENCE])
def test_both_bills_are_valid_by_their_specifications(
    tmp_path: Path, home: Path, store: LayoutStore, kind: ImageKind | str
) -> None:
    artifact = image(store, kind) if isinstance(kind, ImageKind) else tangled(store)
    scanned = scanner(home, store).scan(artifact, 60)
    cyclonedx, _ = bills_of(scanned)
    assert cyclonedx["specVersion"] == "1.7"
    validator = JsonStrictValidator(SchemaVersion.V1_7)
    assert validator.validate_str(scanned.cyclonedx.decode()) is None
    assert validator.validate_str(json.dumps({**cyclonedx, "components": [{}]})) is not None
    path = tmp_path / "bill.spdx.json"
    path.write_bytes(scanned.spdx)
    problems = validate_full_spdx_document(parse_file(str(path)))
    assert [one.validation_message for one in problems] == []


def test_both_name_the_artifact_and_are_the_same_each_time_and_wherever_it_lies(
    tmp_path: Path, home: Path, store: LayoutStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = tangled(store)
    first, again = (scanner(home, store).scan(artifact, 60) for _ in range(2))
    with running_registry(tmp_path / "registry") as registry:
        remote = RegistryStore(f"{registry.host}/other/name")
        copy = tangled(remote)
        elsewhere = scanner(scanner_home(tmp_path / "new", monkeypatch), remote).scan(copy, 60)
    assert copy.digest == artifact.digest
    assert first.cyclonedx == again.cyclonedx == elsewhere.cyclonedx
    assert first.spdx == again.spdx == elsewhere.spdx
    cyclonedx, spdx = bills_of(first)
    subject = cyclonedx["metadata"]["component"]
    assert (subject["name"], subject["version"]) == ("hello", artifact.digest)
    (container,) = (
        one for one in spdx["packages"] if one.get("primaryPackagePurpose") == "CONTAINER"
    )
    assert (container["name"], container["versionInfo"]) == ("hello", artifact.digest)
    assert spdx["name"] == f"hello@{artifact.digest}"
    for place in (str(tmp_path), tempfile.gettempdir(), "127.0.0.1"):
        assert place.encode() not in first.cyclonedx + first.spdx


def test_bills_of_different_artifacts_have_different_names_of_their_own(
    home: Path, store: LayoutStore
) -> None:
    one, other = (
        bills_of(scanner(home, store).scan(image(store, kind), 60))
        for kind in (ImageKind.CLEAN, ImageKind.SECRET_IN_ENV)
    )
    assert one[0]["serialNumber"] != other[0]["serialNumber"]
    assert one[1]["documentNamespace"] != other[1]["documentNamespace"]


def test_what_was_found_wrong_is_not_in_the_bills(home: Path, store: LayoutStore) -> None:
    scanned = scanner(home, store).scan(tangled(store), 60)
    assert isinstance(scanned.report, ScanReport)
    wrong = {one.id for one in scanned.report.findings if one.kind is FindingKind.VULNERABILITY}
    assert wrong == {"CVE-2099-0001", "CVE-2099-1001", "CVE-2099-1002"}
    assert bills_of(scanned)[0].get("vulnerabilities", []) == []
    assert b"CVE-" not in scanned.cyclonedx + scanned.spdx


def test_what_depends_on_what_is_still_right_in_a_settled_bill(
    home: Path, store: LayoutStore
) -> None:
    cyclonedx, _ = bills_of(scanner(home, store).scan(tangled(store), 60))
    subject = cyclonedx["metadata"]["component"]["bom-ref"]
    names = {one["bom-ref"]: one["name"] for one in cyclonedx["components"]}
    edges = {one["ref"]: one["dependsOn"] for one in cyclonedx["dependencies"]}
    assert edges.keys() == {subject, *names}
    assert {one for those in edges.values() for one in those} == set(names)
    (curl,) = (reference for reference, name in names.items() if name == "curl")
    assert [names[one] for one in edges[curl]] == ["libssl3", "zlib1g"]


def listed_by_trivy(
    work: Path, store: LayoutStore, artifact: Artifact, form: str
) -> dict[str, Any]:
    """What Trivy itself writes of the image, not by way of a report."""
    folder = store.repository.removeprefix("layout:")
    target = f"{folder}@{artifact.digest}"
    common = [
        "--quiet",
        "--cache-dir",
        str(work / "bare"),
        "--offline-scan",
        "--skip-version-check",
    ]
    command = [real_trivy(), "image", *common, "--format", form, "--input", target]
    done = subprocess.run(command, capture_output=True, check=True, cwd=work)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def inventory(bill: Mapping[str, Any]) -> set[tuple[str, ...]]:
    """Everything that CycloneDX lists with all it says of it, but the hash of the file in which it was found."""
    return {
        tuple(
            json.dumps(one.get(key), sort_keys=True)
            for key in ("type", "name", "version", "purl", "licenses", "properties")
        )
        for one in bill["components"]
    }


def edges_by_name(bill: Mapping[str, Any]) -> set[tuple[str, str]]:
    subject = bill["metadata"]["component"]
    names = {one["bom-ref"]: one["name"] for one in bill["components"]}
    names[subject["bom-ref"]] = "it"
    return {
        (names[one["ref"]], names[to])
        for one in bill["dependencies"]
        for to in one.get("dependsOn") or ()
    }


def spdx_inventory(document: Mapping[str, Any]) -> set[tuple[str, ...]]:
    keys = (
        "name",
        "versionInfo",
        "licenseDeclared",
        "licenseConcluded",
        "externalRefs",
        "sourceInfo",
    )
    return {
        tuple(json.dumps(one.get(key), sort_keys=True) for key in keys)
        for one in document["packages"]
        if one.get("primaryPackagePurpose") != "CONTAINER"
    }


def test_taken_from_the_report_they_list_what_trivy_lists_of_the_image_itself(
    tmp_path: Path, home: Path, store: LayoutStore
) -> None:
    artifact = tangled(store)
    cyclonedx, spdx = bills_of(scanner(home, store).scan(artifact, 60))
    bare = listed_by_trivy(tmp_path, store, artifact, "cyclonedx")
    assert len(inventory(cyclonedx)) >= 6
    assert inventory(cyclonedx) == inventory(bare)
    assert edges_by_name(cyclonedx) == edges_by_name(bare)
    bare = listed_by_trivy(tmp_path, store, artifact, "spdx-json")
    assert spdx_inventory(spdx) == spdx_inventory(bare)
    kinds = sorted(one["relationshipType"] for one in spdx["relationships"])
    files = len(bare.get("files") or ())
    assert sorted([*kinds, *["CONTAINS"] * files]) == sorted(
        one["relationshipType"] for one in bare["relationships"]
    )


@pytest.mark.parametrize("form", ["cyclonedx", "spdx"])
def test_trivys_own_reading_of_our_bills_finds_what_the_scan_of_the_image_found(
    tmp_path: Path, home: Path, store: LayoutStore, form: str
) -> None:
    scanned = scanner(home, store).scan(tangled(store), 60)
    assert isinstance(scanned.report, ScanReport)
    path = tmp_path / f"bill.{form}.json"
    path.write_bytes(scanned.cyclonedx if form == "cyclonedx" else scanned.spdx)
    common = ["--quiet", "--cache-dir", str(home), "--skip-db-update", "--offline-scan"]
    command = [real_trivy(), "sbom", *common, "--format", "json", str(path)]
    done = subprocess.run(command, capture_output=True, check=True, cwd=tmp_path)
    found = {
        (
            one["VulnerabilityID"],
            one["PkgName"],
            one["InstalledVersion"],
            one.get("FixedVersion", ""),
        )
        for result in json.loads(done.stdout)["Results"]
        for one in result.get("Vulnerabilities") or ()
    }
    expected = {
        (one.id, one.package, one.installed_version, one.fixed_version)
        for one in scanned.report.findings
        if one.kind is FindingKind.VULNERABILITY
    }
    assert len(expected) == 3
    assert found == expected


def test_what_is_no_bill_is_refused() -> None:
    artifact = Artifact("hello", f"sha256:{'0' * 64}", "memory:hello")
    for wrong in ({}, {"bomFormat": "SPDX"}, {"spdxVersion": "SPDX-3.0"}):
        with pytest.raises(ValueError, match="no CycloneDX"):
            trivy_bill.settled(wrong, artifact)
        with pytest.raises(ValueError, match=r"no SPDX 2\.3"):
            trivy_spdx.settled(wrong, artifact)
