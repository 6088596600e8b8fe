"""Invariant 2: what admits an artifact, and every way in which it is refused."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.admit.rules import Facts, judge_admission
from tasks.evidence import Checked, Ground, Proof, Provenance, Ruling, ScanNotDone, ScanReport
from tasks.model import Admission
from tasks.policy import Answer, BaseRule, Policy, RequiredKind, SourceRule

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DIGEST, BASE = "sha256:" + "a" * 64, "sha256:" + "b" * 64
REPOSITORY = "https://git.example/shop/hello"
SCAN = ScanReport(DIGEST, "trivy 0.76.0", NOW, NOW - timedelta(hours=3), 12)
COMES_FROM = Provenance(REPOSITORY, "c" * 40, False, "bakewell", (BASE,))
HOLDS = {kind: Checked(kind.value, Proof.VALID, "made by our scanner") for kind in RequiredKind}
FACTS = Facts(
    "hello",
    (Checked("tag", Proof.VALID, "found this"), Checked("bundle", Proof.VALID, "found that")),
    HOLDS,
    SCAN,
    (COMES_FROM,),
    frozenset({"staging"}),
    frozenset({"staging"}),
    {BASE: NOW - timedelta(hours=80)},
)
STRICT = Policy(
    source=SourceRule(repositories=("https://git.example/*",), dirty=Answer.REFUSE),
    base=BaseRule(min_age_hours=72),
    tested_in=("staging",),
    promoted_in=("staging",),
)


def judge(facts: Facts, policy: Policy = STRICT) -> Ruling:
    return judge_admission(facts, policy, NOW)


def without(kind: RequiredKind) -> Mapping[RequiredKind, Checked]:
    return {other: found for other, found in HOLDS.items() if other is not kind}


def test_what_meets_every_demand_is_admitted() -> None:
    ruling = judge(FACTS)
    assert (ruling.answer, ruling.grounds) == (Admission.ADMIT, ())
    assert "signed by our builder; 12 packages recognised" in ruling.reason


@pytest.mark.parametrize(("tag", "bundle"), list(product(Proof, Proof)))
def test_one_signature_must_hold_and_none_be_false(tag: Proof, bundle: Proof) -> None:
    signatures = (Checked("tag", tag, "found this"), Checked("bundle", bundle, "found that"))
    ruling = judge(replace(FACTS, signatures=signatures))
    fine = {Proof.VALID, Proof.MISSING}
    expected = {tag, bundle} <= fine and Proof.VALID in (tag, bundle)
    assert (ruling.answer is Admission.ADMIT) == expected
    if not expected:
        worth = tag if tag not in fine else bundle
        assert "not signed" in ruling.reason or worth.value in ruling.reason


SPOILED: dict[str, dict[str, Any]] = {
    "quarantine": {"quarantined": (Ground("quarantine", DIGEST, "bob said no"),)},
    "trouble": {"not_gathered": (Ground("trouble", "", "the scanner's key is not valid"),)},
    "signature": {"signatures": ()},
    "attestations": {"evidence": without(RequiredKind.SPDX)},
    "source.repositories": {
        "provenances": (replace(COMES_FROM, repository="https://git.evil/shop/hello"),)
    },
    "source.dirty": {"provenances": (replace(COMES_FROM, dirty=True),)},
    "source": {"provenances": ()},
    "base.min_age_hours": {"bases_known_since": {BASE: NOW - timedelta(hours=71)}},
    "scan": {"scan": None},
    "database.missing": {"scan": ScanNotDone(DIGEST, "no database", NOW, 12)},
    "database.max_age_hours": {
        "scan": replace(SCAN, database_updated_at=NOW - timedelta(hours=49))
    },
    "max_scan_age_hours": {"scan": replace(SCAN, scanned_at=NOW - timedelta(hours=25))},
    "unrecognised": {"scan": replace(SCAN, packages=0)},
    "tested_in": {"tested_in": frozenset({"elsewhere"})},
    "promoted_in": {"promoted_in": frozenset()},
}


@pytest.mark.parametrize(("demand", "spoiled"), SPOILED.items(), ids=SPOILED.keys())
def test_each_unmet_demand_refuses_and_is_named(demand: str, spoiled: dict[str, Any]) -> None:
    ruling = judge(replace(FACTS, **spoiled))
    assert ruling.answer is Admission.REFUSE
    assert demand in {ground.demand for ground in ruling.grounds}
    assert all(ground.why for ground in ruling.grounds)


@given(st.sets(st.sampled_from([one for one in SPOILED if one != "source"]), min_size=1))
def test_all_reasons_are_given_at_once(demands: set[str]) -> None:
    spoiled = {key: value for one in sorted(demands) for key, value in SPOILED[one].items()}
    ruling = judge(replace(FACTS, **spoiled))
    kept = {
        one for one in demands if all(SPOILED[one][key] == spoiled[key] for key in SPOILED[one])
    }
    assert ruling.answer is Admission.REFUSE
    assert kept <= {ground.demand for ground in ruling.grounds}


@pytest.mark.parametrize("kind", [kind for kind in RequiredKind if kind is not RequiredKind.SCAN])
@pytest.mark.parametrize("proof", [proof for proof in Proof if proof is not Proof.VALID])
def test_a_demanded_statement_that_does_not_hold_is_named_with_its_worth(
    kind: RequiredKind, proof: Proof
) -> None:
    evidence = {**HOLDS, kind: Checked(kind.value, proof, "found this")}
    ruling = judge(replace(FACTS, evidence=evidence))
    assert f"its {kind.value} is {proof.value}: found this" in ruling.reason
    lax = Policy(attestations=(RequiredKind.SCAN,))
    assert judge(replace(FACTS, evidence=evidence), lax).answer is Admission.ADMIT


def test_one_provenance_that_meets_every_demand_is_enough() -> None:
    dirty = replace(COMES_FROM, dirty=True)
    assert judge(replace(FACTS, provenances=(dirty, COMES_FROM))).answer is Admission.ADMIT
    elsewhere = replace(COMES_FROM, repository="https://git.evil/x")
    both = judge(replace(FACTS, provenances=(dirty, elsewhere)))
    assert both.answer is Admission.REFUSE, "no single one meets both demands"


def test_a_base_that_was_never_seen_before_waits_and_a_trusted_one_does_not() -> None:
    new = replace(FACTS, bases_known_since={})
    assert "it is new here" in judge(new).reason
    trusting = STRICT.model_copy(update={"base": BaseRule(min_age_hours=72, trusted=(BASE,))})
    assert judge(new, trusting).answer is Admission.ADMIT


def test_a_policy_that_asks_for_nothing_still_wants_a_signature_and_a_scan() -> None:
    lax = Policy(attestations=(RequiredKind.SCAN,))
    bare = Facts("hello", FACTS.signatures, {}, SCAN)
    assert judge(bare, lax).answer is Admission.ADMIT
    assert judge(replace(bare, signatures=()), lax).answer is Admission.REFUSE
    assert judge(replace(bare, scan=None), lax).answer is Admission.REFUSE
