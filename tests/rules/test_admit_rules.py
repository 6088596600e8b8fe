"""Invariant 2: what admits an artifact, and every way in which it is refused."""

from itertools import product

import pytest

from tasks.admit.rules import judge_admission
from tasks.evidence import Checked, Proof
from tasks.model import Admission, Decision

GOOD, BAD = Decision(Admission.ADMIT, "clean"), Decision(Admission.REFUSE, "CVE-1")


def checked(tag: Proof, bundle: Proof) -> tuple[Checked, Checked]:
    return Checked("tag", tag, "found this"), Checked("bundle", bundle, "found that")


@pytest.mark.parametrize(("tag", "bundle"), list(product(Proof, Proof)))
def test_it_is_admitted_if_one_signature_holds_and_none_is_false(tag: Proof, bundle: Proof) -> None:
    decision = judge_admission(checked(tag, bundle), GOOD)
    fine = {Proof.VALID, Proof.MISSING}
    expected = {tag, bundle} <= fine and Proof.VALID in (tag, bundle)
    assert (decision.answer is Admission.ADMIT) == expected
    if not expected:
        worth = tag if tag not in fine else bundle
        assert "not signed" in decision.reason or worth.value in decision.reason


@pytest.mark.parametrize(("tag", "bundle"), list(product(Proof, Proof)))
def test_a_scan_that_refuses_is_never_outweighed(tag: Proof, bundle: Proof) -> None:
    assert judge_admission(checked(tag, bundle), BAD).answer is Admission.REFUSE


def test_no_evidence_at_all_is_a_refusal() -> None:
    assert judge_admission((), GOOD).answer is Admission.REFUSE
