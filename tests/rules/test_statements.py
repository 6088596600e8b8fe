"""Smoke tests and verdicts as statements: written and read back the same; what is none is None."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evidence import KeyRole, RolloutVerdict, SmokeResult, SmokeTested
from tasks.model import Verdict
from tasks.service import Smoke
from tasks.sign import statements
from tasks.sign.statements import (
    promoted_in,
    read_smoke,
    read_verdict,
    smoke_statement,
    verdict_statement,
)
from tests.support.provenances import AT, GIVEN, LINE, TESTED

words = st.text(max_size=30)
moments = st.builds(datetime.fromtimestamp, st.floats(1.5e9, 4e9), st.just(UTC))
lines = st.sampled_from(["", LINE])
tests = st.builds(
    SmokeTested, words, st.sampled_from(SmokeResult), moments, words, words, words, lines
)
numbers = st.dictionaries(
    words, st.one_of(st.none(), st.booleans(), st.integers(), words), max_size=3
)
verdicts = st.builds(
    RolloutVerdict,
    words,
    words,
    st.sampled_from(Verdict),
    words,
    words,
    moments,
    moments,
    numbers,
    lines,
)


def stored(predicate: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(predicate))
    return found


@given(tests)
def test_a_smoke_test_is_read_back_as_it_was(tested: SmokeTested) -> None:
    smoke = Smoke.model_construct(path=tested.path, status=200, contains="", timeout_seconds=5)
    assert read_smoke(stored(smoke_statement(tested, smoke).predicate)) == tested


@given(verdicts)
def test_a_verdict_is_read_back_as_it_was(given_: RolloutVerdict) -> None:
    assert read_verdict(stored(verdict_statement(given_).predicate)) == given_


def test_both_are_said_by_the_releaser() -> None:
    assert smoke_statement(TESTED, Smoke()).role is KeyRole.RELEASER
    assert verdict_statement(GIVEN).role is KeyRole.RELEASER


@pytest.mark.parametrize(
    ("result", "where"),
    [
        (SmokeResult.PASSED, "passedTests"),
        (SmokeResult.WARNED, "warnedTests"),
        (SmokeResult.FAILED, "failedTests"),
    ],
)
def test_the_test_stands_in_the_list_of_its_result_alone(result: SmokeResult, where: str) -> None:
    tested = SmokeTested("staging", result, AT, "/page")
    said = smoke_statement(tested, Smoke(path="/page")).predicate
    lists = {name: said[name] for name in ("passedTests", "warnedTests", "failedTests")}
    assert lists.pop(where) == ["GET /page"]
    assert list(lists.values()) == [[], []]


def test_a_changed_configuration_has_another_digest() -> None:
    digests = {
        smoke_statement(TESTED, smoke).predicate["configuration"][0]["digest"]["sha256"]
        for smoke in (Smoke(), Smoke(contains="hello"), Smoke(status=204))
    }
    assert len(digests) == 3


@pytest.mark.parametrize("missing", ["result", "configuration"])
def test_a_smoke_test_without_its_parts_is_none(missing: str) -> None:
    said = stored(smoke_statement(TESTED, Smoke()).predicate)
    del said[missing]
    assert read_smoke(said) is None


def test_others_test_results_do_not_say_where_and_are_none() -> None:
    assert read_smoke({"result": "PASSED", "configuration": [{"name": "ci.yml"}]}) is None
    assert read_smoke({"result": "PASSED", "configuration": []}) is None


@pytest.mark.parametrize("at", ["yesterday", "2026-03-01T12:30:05", None])
def test_a_moment_without_its_zone_is_none(at: object) -> None:
    tested = stored(smoke_statement(TESTED, Smoke()).predicate)
    tested["configuration"][0]["annotations"]["at"] = at
    assert read_smoke(tested) is None
    assert read_verdict({**stored(verdict_statement(GIVEN).predicate), "at": at}) is None


def test_a_verdict_that_is_none_of_ours_is_none() -> None:
    said = stored(verdict_statement(GIVEN).predicate)
    assert read_verdict({**said, "verdict": "fine"}) is None
    assert read_verdict({key: one for key, one in said.items() if key != "environment"}) is None
    assert read_verdict({}) is None


def test_the_newest_test_and_the_newest_verdict_of_each_environment_count() -> None:
    later = AT + timedelta(hours=1)

    def tests(*told: SmokeTested) -> list[dict[str, Any]]:
        return [stored(smoke_statement(one, Smoke()).predicate) for one in told]

    def given_(*told: RolloutVerdict) -> list[dict[str, Any]]:
        return [stored(verdict_statement(one).predicate) for one in told]

    failed = replace(TESTED, result=SmokeResult.FAILED, at=later)
    assert statements.tested_in(tests(TESTED, replace(TESTED, environment="production"))) == {
        "staging",
        "production",
    }
    assert statements.tested_in(tests(failed, TESTED)) == frozenset()
    assert statements.tested_in([{}]) == frozenset()
    back = replace(GIVEN, verdict=Verdict.ROLL_BACK, at=later)
    assert promoted_in(given_(GIVEN)) == {"staging"}
    assert promoted_in(given_(back, GIVEN)) == frozenset()
    assert promoted_in(given_(back, replace(GIVEN, at=later + timedelta(1)))) == {"staging"}
    unclear = replace(GIVEN, verdict=Verdict.INCONCLUSIVE, at=later)
    assert promoted_in(given_(GIVEN, unclear)) == {"staging"}
    assert promoted_in(given_(unclear)) == frozenset()
    assert promoted_in([{}, {"verdict": "promote", "environment": "staging"}]) == frozenset()
