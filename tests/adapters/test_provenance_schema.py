"""Our statements against the protobufs of those who specify them (in-toto's own package): every field is known there, and
of its type. Protobuf's JSON reader refuses what it does not know."""

from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult as Result
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement as Checked
from in_toto_attestation.v1.statement_pb2 import Statement as Whole

from tasks import oci
from tasks.adapters import cosign_bundle
from tasks.evidence import SmokeResult, SmokeTested, Statement
from tasks.model import Source
from tasks.service import Smoke
from tasks.sign.provenance import provenance
from tasks.sign.statements import smoke_statement, verdict_statement
from tests.support.baking import service
from tests.support.provenances import AT, BASE, GIVEN, MAKING, MATERIALS, SOURCE, chains, github

SAID = [
    provenance(service(base=BASE), SOURCE, MATERIALS, MAKING),
    provenance(service(), Source("hello", "", True), MATERIALS, MAKING),
    smoke_statement(
        SmokeTested("staging", SmokeResult.PASSED, AT, "/", "fine", "r1", "a"), Smoke()
    ),
    smoke_statement(SmokeTested("staging", SmokeResult.FAILED, AT, "/"), Smoke()),
    verdict_statement(GIVEN),
]


def read(predicate: Any, into: Message) -> Any:
    json_format.ParseDict(dict(predicate), into)
    return into


@pytest.mark.parametrize("said", SAID, ids=lambda said: said.kind.value)
def test_a_whole_statement_is_one_for_in_toto(said: Statement) -> None:
    digest = oci.digest_of(b"artifact")
    payload = cosign_bundle.statement(digest, said.predicate_type, said.predicate)
    whole = json_format.Parse(payload, Whole())
    Checked.copy_from_pb(whole).validate()
    assert whole.subject[0].digest["sha256"] == digest.removeprefix("sha256:")


@pytest.mark.parametrize("said", [*(one.predicate for one in SAID[:2]), github(), chains()])
def test_provenance_is_one_for_slsa(said: dict[str, Any]) -> None:
    found = read(said, Provenance())
    assert found.build_definition.build_type.startswith("https://")
    assert found.run_details.builder.id
    for part in found.build_definition.resolved_dependencies:
        ResourceDescriptor.copy_from_pb(part).validate()


def test_the_times_are_those_of_the_bake() -> None:
    metadata = read(SAID[0].predicate, Provenance()).run_details.metadata
    assert metadata.started_on.ToDatetime() == MAKING.started_at.replace(tzinfo=None)
    assert metadata.finished_on.ToDatetime() == MAKING.finished_at.replace(tzinfo=None)


@pytest.mark.parametrize("said", SAID[2:4])
def test_a_smoke_test_is_a_test_result(said: Statement) -> None:
    found = read(said.predicate, Result())
    assert found.result in ("PASSED", "FAILED")
    for part in found.configuration:
        ResourceDescriptor.copy_from_pb(part).validate()


def test_the_check_can_fail() -> None:
    with pytest.raises(json_format.ParseError, match="no field named"):
        read({**SAID[0].predicate, "weather": "fine"}, Provenance())
    with pytest.raises(json_format.ParseError):
        read({"buildDefinition": {"resolvedDependencies": [{"uri": 7}]}}, Provenance())
