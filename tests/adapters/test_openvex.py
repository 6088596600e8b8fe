"""Our waivers as OpenVEX: an independent library accepts them, and Trivy suppresses what they name."""

import json
from datetime import UTC, date, datetime
from typing import Any, Final

import jsonschema
import pytest
from vexipy.document import Document

from tasks.adapters.openvex import vex_document, waivers_in
from tasks.errors import InvalidInputError
from tasks.evidence import Finding, FindingKind, Severity
from tasks.model import Artifact
from tasks.policy import Justification, Waiver, WaiverStatus

NOW: Final = datetime(2026, 6, 1, tzinfo=UTC)
ARTIFACT: Final = Artifact("hello", "sha256:" + "a" * 64, "registry.example/shop/hello")
FOUND: Final = Finding(
    FindingKind.VULNERABILITY,
    "CVE-2099-0001",
    Severity.CRITICAL,
    "leaky",
    "1.0",
    "2.0",
    "a title",
    None,
    "pkg:pypi/leaky@1.0",
)
ACCEPTED: Final = Waiver(
    id=FOUND.id, owner="ann@example.org", reason="replaced next week", expires=date(2026, 6, 8)
)
HARMLESS: Final = ACCEPTED.model_copy(
    update={
        "status": WaiverStatus.NOT_AFFECTED,
        "justification": Justification.NOT_IN_EXECUTE_PATH,
    }
)


def document(*waivers: Waiver) -> dict[str, Any]:
    return vex_document(ARTIFACT, [(FOUND, one) for one in waivers], "platform team", NOW)


@pytest.mark.parametrize("waiver", [ACCEPTED, HARMLESS])
def test_an_independent_library_accepts_what_is_written(waiver: Waiver) -> None:
    raw = json.dumps(document(waiver))
    found = Document.from_json(raw)
    assert found.statements[0].vulnerability.name == FOUND.id
    schema = Document.model_json_schema(by_alias=True)
    jsonschema.Draft202012Validator(schema).validate(json.loads(raw))


def test_a_risk_taken_is_affected_and_says_what_is_done() -> None:
    (said,) = document(ACCEPTED)["statements"]
    assert (said["status"], said["action_statement"]) == ("affected", "replaced next week")
    assert said["status_notes"] == "waived by ann@example.org until 2026-06-08"


def test_what_does_no_harm_comes_back_as_the_same_waiver() -> None:
    raw = json.dumps(document(HARMLESS)).encode()
    (back,) = waivers_in(raw, "here", HARMLESS.owner, HARMLESS.expires)
    assert (back.id, back.status, back.justification) == (
        HARMLESS.id,
        HARMLESS.status,
        HARMLESS.justification,
    )
    assert back.packages == ("pkg:pypi/leaky@1.0*",)


def test_a_risk_taken_here_waives_nothing_elsewhere() -> None:
    raw = json.dumps(document(ACCEPTED)).encode()
    assert waivers_in(raw, "here", "bob@example.org", date(2026, 6, 8)) == ()


def test_a_document_without_statements_is_not_written() -> None:
    with pytest.raises(InvalidInputError, match="none of its findings is waived"):
        document()


def test_its_name_follows_from_what_it_says() -> None:
    assert document(ACCEPTED)["@id"] == document(ACCEPTED)["@id"] != document(HARMLESS)["@id"]
