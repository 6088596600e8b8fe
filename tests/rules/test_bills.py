"""What a CycloneDX bill lists; what is none is None, never an empty list."""

from typing import Any

import pytest

from tasks.evidence import Package
from tasks.sign.bills import fullest, packages, without_version


def bill(*components: dict[str, Any]) -> dict[str, Any]:
    return {"bomFormat": "CycloneDX", "specVersion": "1.7", "components": list(components)}


LEAKY: dict[str, Any] = {
    "type": "library",
    "name": "leaky",
    "version": "1.0",
    "purl": "pkg:pypi/leaky@1.0",
    "licenses": [{"license": {"id": "MIT"}}, {"expression": "GPL-2.0-only OR BSD-3-Clause"}],
}


def test_packages_are_listed_once_in_order_with_their_licences() -> None:
    scoped = {"type": "library", "group": "@team", "name": "pad", "version": "2"}
    found = packages(bill(scoped, LEAKY, LEAKY))
    assert found == (
        Package("@team/pad", "2", "", ()),
        Package("leaky", "1.0", "pkg:pypi/leaky@1.0", ("GPL-2.0-only OR BSD-3-Clause", "MIT")),
    )


def test_systems_and_lock_files_are_no_packages_and_what_is_inside_them_is() -> None:
    system = {"type": "operating-system", "name": "debian", "version": "12"}
    lock = {"type": "application", "name": "requirements.txt", "components": [LEAKY]}
    found = packages(bill(system, lock))
    assert found is not None
    assert [one.name for one in found] == ["leaky"]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"bomFormat": "SPDX"},
        {"bomFormat": "CycloneDX", "components": 7},
        {"bomFormat": "CycloneDX", "components": ["x"]},
        {"bomFormat": "CycloneDX", "components": [{"type": "library"}]},
        {"bomFormat": "CycloneDX", "components": [{**LEAKY, "licenses": ["MIT"]}]},
    ],
)
def test_what_is_no_bill_is_none(wrong: dict[str, Any]) -> None:
    assert packages(wrong) is None


def test_a_bill_that_lists_nothing_is_not_none() -> None:
    assert packages(bill()) == ()
    assert packages({"bomFormat": "CycloneDX"}) == ()


def test_of_several_bills_the_one_that_lists_most_counts() -> None:
    assert fullest([{}, bill(), bill(LEAKY)]) == packages(bill(LEAKY))
    assert fullest([{}]) is None
    assert fullest([]) is None


@pytest.mark.parametrize(
    ("purl", "same"),
    [
        ("pkg:pypi/leaky@1.0", "pkg:pypi/leaky"),
        ("pkg:deb/debian/libssl3@3.0.20-1?arch=amd64&distro=debian-12.1", "pkg:deb/debian/libssl3"),
        ("pkg:npm/%40team/pad@1.0#lib/x@y", "pkg:npm/%40team/pad"),
        ("pkg:golang/example.org/a/b", "pkg:golang/example.org/a/b"),
        ("", "leaky"),
    ],
)
def test_an_upgraded_package_stays_the_same_package(purl: str, same: str) -> None:
    assert without_version(Package("leaky", "1.0", purl)) == same
