"""What is different between two artifacts; and that "cannot tell" is never told as "the same"."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from flows.differences import (
    MASK,
    PackageChange,
    SettingChange,
    Unknown,
    VulnerabilityChanges,
    package_changes,
    setting_changes,
    vulnerability_changes,
)
from tasks.evidence import Package, ScanNotDone, Severity
from tests.support.chains import ARTIFACT, SCAN, SECRET, vulnerability
from tests.support.provenances import AT


def pypi(name: str, version: str) -> Package:
    return Package(name, version, f"pkg:pypi/{name}@{version}")


def test_packages_are_added_removed_and_upgraded() -> None:
    before = (pypi("kept", "1"), pypi("old", "1"), pypi("up", "1"), pypi("two", "1"))
    after = (
        pypi("kept", "1"),
        pypi("new", "1"),
        pypi("up", "2"),
        pypi("two", "1"),
        pypi("two", "2"),
    )
    assert package_changes(before, after) == (
        PackageChange("pkg:pypi/new", (), ("1",)),
        PackageChange("pkg:pypi/old", ("1",), ()),
        PackageChange("pkg:pypi/two", ("1",), ("1", "2")),
        PackageChange("pkg:pypi/up", ("1",), ("2",)),
    )
    assert package_changes(before, before) == ()


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [(None, (), "A has no SBOM"), ((), None, "B has no SBOM"), (None, None, "neither has SBOM")],
)
def test_without_a_bill_packages_are_not_compared(
    before: tuple[Package, ...] | None, after: tuple[Package, ...] | None, words: str
) -> None:
    found = package_changes(before, after)
    assert isinstance(found, Unknown)
    assert words in found.reason


def test_vulnerabilities_are_fixed_and_introduced_worst_first() -> None:
    both, low, high = (
        vulnerability(1, Severity.LOW),
        vulnerability(2, Severity.LOW),
        vulnerability(3, Severity.HIGH),
    )
    elsewhere = vulnerability(1, Severity.LOW, package="other")
    before = replace(SCAN, findings=(both, low, high, SECRET))
    found = vulnerability_changes(before, replace(SCAN, findings=(both, elsewhere)))
    assert found == VulnerabilityChanges((high, low), (elsewhere,))


def test_other_databases_and_scanners_are_said() -> None:
    other = replace(
        SCAN, database_updated_at=SCAN.database_updated_at + timedelta(1), scanner="trivy 1"
    )
    found = vulnerability_changes(SCAN, other)
    assert isinstance(found, VulnerabilityChanges)
    assert "no difference of theirs" in found.notes[0]
    assert found.notes[1] == "A was scanned by trivy 0.76.0, B by trivy 1"


def test_a_scan_that_recognised_nothing_says_little() -> None:
    found = vulnerability_changes(SCAN, replace(SCAN, packages=0))
    assert isinstance(found, VulnerabilityChanges)
    assert found.notes == (
        "in B the scanner recognised no package: that it knows nothing wrong says little",
    )


def test_what_was_not_scanned_is_not_compared() -> None:
    not_done = ScanNotDone(ARTIFACT.digest, "no database", AT)
    found = vulnerability_changes(not_done, None)
    assert isinstance(found, Unknown)
    assert found.reason == (
        "A was not scanned: no database; B has no scan that our scanner vouches for"
    )
    assert isinstance(vulnerability_changes(SCAN, not_done), Unknown)


def image(**config: Any) -> dict[str, Any]:
    return {"os": "linux", "architecture": "amd64", "config": config}


def test_settings_are_compared_by_name() -> None:
    before = image(Cmd=["python3", "a b.py"], Env=["A=1", "B=1", "E="], User="1000")
    after = image(
        Cmd=["python3"], Env=["A=2", "C=1", "E="], Labels={"x": "y"}, ExposedPorts={"80/tcp": {}}
    )
    assert setting_changes(before, after) == (
        SettingChange("command", "python3 'a b.py'", "python3"),
        SettingChange("environment A", "1", "2"),
        SettingChange("environment B", "1", None),
        SettingChange("environment C", None, "1"),
        SettingChange("label x", None, "y"),
        SettingChange("ports", None, "80/tcp"),
        SettingChange("user", "1000", None),
    )
    assert setting_changes(before, before) == ()


@pytest.mark.parametrize(
    "name",
    ["API_TOKEN", "DB_PASSWORD", "MY_SECRET", "AWS_SECRET_ACCESS_KEY", "SSH_PRIVATE_KEY", "KEY",
     "SIGNING_KEY", "apikey", "SENTRY_DSN", "PASSWD", "GH_AUTH", "SESSION_COOKIE"],
)  # fmt: skip
def test_a_value_that_looks_secret_is_compared_and_never_shown(name: str) -> None:
    changed = setting_changes(image(Env=[f"{name}=hunter2"]), image(Env=[f"{name}=hunter3"]))
    assert changed == (SettingChange(f"environment {name}", MASK, MASK),)
    assert setting_changes(image(), image(Env=[f"{name}=hunter2"])) == (
        SettingChange(f"environment {name}", None, MASK),
    )


@pytest.mark.parametrize("name", ["PORT", "PATH", "PYTHONPATH", "MONKEY", "KEYBOARD", "HOSTNAME"])
def test_other_values_are_shown(name: str) -> None:
    (found,) = setting_changes(image(Env=[f"{name}=1"]), image(Env=[f"{name}=2"]))
    assert (found.before, found.after) == ("1", "2")


def test_a_login_inside_an_address_is_masked_wherever_it_stands() -> None:
    after = image(Env=["DB=postgres://me:pw@db/x"], Cmd=["run", "--at=https://u:pw@h/"])
    told = {one.name: one.after for one in setting_changes(image(), after)}
    assert told == {
        "command": "run --at=https://****@h/",
        "environment DB": "postgres://****@db/x",
    }
