"""Policies are read as they are now, or refused with every mistake and its line."""

import json
from datetime import date
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest

from tasks import platforms
from tasks.adapters.policy_file import policy_names, read_policy
from tasks.adapters.settings_schema import schema_of
from tasks.adapters.yaml_places import read_yaml
from tasks.errors import InvalidInputError
from tasks.policy import Policy, WaiverStatus, WithoutDatabase

SHIPPED: Final = Path(__file__).parents[2] / "deployments" / "policies"
WAIVER: Final = """\
waivers:
  - id: CVE-2026-1
    owner: ann@example.org
    reason: it is never called
    expires: 2026-12-31
"""


def written(folder: Path, text: str, name: str = "mine") -> Path:
    (folder / f"{name}.yaml").write_text(text)
    return folder


def mistakes(folder: Path, text: str) -> str:
    with pytest.raises(InvalidInputError) as refused:
        read_policy("mine", written(folder, text))
    return str(refused.value)


@pytest.mark.parametrize("name", policy_names(SHIPPED))
def test_a_shipped_policy_fits_its_schema_and_says_what_it_is_for(name: str) -> None:
    found = read_policy(name, SHIPPED)
    assert found.policy.description
    text = (SHIPPED / f"{name}.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=policy.schema.json\n")
    document = read_yaml(text.encode()).value
    jsonschema.Draft202012Validator(schema_of(Policy)).validate(document)


def test_only_one_shipped_policy_runs_what_nobody_knows_and_it_is_not_the_default() -> None:
    lax = [
        name
        for name in policy_names(SHIPPED)
        if read_policy(name, SHIPPED).policy.database.missing is WithoutDatabase.RUN
    ]
    assert lax == ["offline"]


def test_nothing_said_is_the_strict_default(tmp_path: Path) -> None:
    assert read_policy("mine", written(tmp_path, "{}")).policy == Policy()


def test_whoever_changes_a_policy_changes_its_fingerprint_and_comments_do_not(
    tmp_path: Path,
) -> None:
    first = read_policy("mine", written(tmp_path, "secrets: refuse"))
    same = read_policy("mine", written(tmp_path, "# a word\nsecrets: refuse"))
    waived = read_policy("mine", written(tmp_path, f"secrets: refuse\n{WAIVER}"))
    assert first.fingerprint == same.fingerprint != waived.fingerprint
    assert waived.policy.waivers[0].expires == date(2026, 12, 31)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("secret: refuse", "1:1: secret: is not a setting, did you mean `secrets`?"),
        ("secrets: never", "1:10: secrets: found 'never'; allowed: refuse or allow"),
        ("database: {max_age_hours: 0}", "max_age_hours: found 0; allowed: a number above 0"),
        ("base: {trusted: [latest]}", "found 'latest'; allowed: sha256: and 64 hex digits"),
        ("attestations: [provenance]", "1:15: attestations: scan must be among them"),
        (WAIVER.replace("    owner: ann@example.org\n", ""), "owner: is missing"),
        (WAIVER.replace("2026-12-31", "soon"), "expires: found 'soon'"),
        (WAIVER + "    status: not_affected\n", "belongs to status not_affected"),
        ("- secrets", "1:1: found a list; a policy is a mapping"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_is_allowed(
    tmp_path: Path, text: str, told: str
) -> None:
    assert told in mistakes(tmp_path, text)


def test_a_policy_that_is_not_there_is_answered_with_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEWELL_POLICIES", str(written(tmp_path, "{}", "only")))
    assert platforms.policy("only").name == "only"
    with pytest.raises(InvalidInputError, match=r"policies in .*: only \(`policy:` in service"):
        platforms.policy("other")


# ---- what others say -----------------------------------------------------------------------------


def vex(*statements: dict[str, Any], context: str = "https://openvex.dev/ns/v0.2.0") -> str:
    whole = {
        "@context": context,
        "@id": "https://vendor.example/vex/1",
        "author": "Vendor PSIRT",
        "timestamp": "2026-05-01T00:00:00Z",
        "version": 1,
        "statements": list(statements),
    }
    return json.dumps(whole)


def statement(status: str, name: str = "CVE-2026-7", **more: Any) -> dict[str, Any]:
    products = [{"@id": "pkg:deb/debian/libx@1.2"}]
    return {"vulnerability": {"name": name}, "products": products, "status": status, **more}


BELIEVE: Final = """\
vex:
  - file: vendor.json
    owner: ann@example.org
    expires: 2026-12-31
"""
NOT_AFFECTED: Final = {"justification": "vulnerable_code_not_present"}


def believed(folder: Path, document: str) -> Policy:
    (folder / "vendor.json").write_text(document)
    return read_policy("mine", written(folder, BELIEVE)).policy


def test_what_a_vendor_says_does_no_harm_is_waived_by_whoever_believes_it(tmp_path: Path) -> None:
    said = vex(
        statement("not_affected", "CVE-1", **NOT_AFFECTED),
        statement("not_affected", "CVE-2", impact_statement="only on big-endian machines"),
        statement("fixed", "CVE-3"),
        statement("affected", "CVE-4", action_statement="update"),
        statement("under_investigation", "CVE-5"),
    )
    waivers = believed(tmp_path, said).waivers
    assert [one.id for one in waivers] == ["CVE-1", "CVE-2", "CVE-3"]
    assert {one.owner for one in waivers} == {"ann@example.org"}
    assert waivers[0].packages == ("pkg:deb/debian/libx@1.2*",)
    assert [one.status for one in waivers] == [
        WaiverStatus.NOT_AFFECTED,
        WaiverStatus.ACCEPTED,
        WaiverStatus.NOT_AFFECTED,
    ]
    assert "Vendor PSIRT: only on big-endian" in waivers[1].reason


def test_of_a_product_with_parts_the_parts_are_meant(tmp_path: Path) -> None:
    product = {"@id": "pkg:oci/app", "subcomponents": [{"identifiers": {"purl": "pkg:pypi/x"}}]}
    said = vex({**statement("fixed"), "products": [product]})
    assert believed(tmp_path, said).waivers[0].packages == ("pkg:pypi/x@*",)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ("{", "it is no OpenVEX document"),
        ("[]", "it is no OpenVEX document"),
        (vex(context="https://cyclonedx.org"), "its @context is 'https://cyclonedx.org'"),
        (vex({"status": "fixed"}), "its statement 0 cannot be read"),
        (vex({**statement("fixed"), "products": []}), "it names no product"),
        (vex(statement("not_affected", justification="trust me")), "statement 0 cannot be read"),
    ],
)
def test_what_cannot_be_understood_waives_nothing_and_is_refused(
    tmp_path: Path, document: str, told: str
) -> None:
    with pytest.raises(InvalidInputError, match=r"asked to believe .*vendor\.json") as refused:
        believed(tmp_path, document)
    assert told in str(refused.value)


def test_a_document_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "vendor.json; it cannot be read" in mistakes(tmp_path, BELIEVE)
