"""Invariant 2 as a pure rule: what was found of an artifact's evidence in, admission or refusal out."""

from collections.abc import Sequence

from tasks.evidence import Checked, Proof
from tasks.model import Admission, Decision


def judge_admission(
    signatures: Sequence[Checked], scan: Decision[Admission]
) -> Decision[Admission]:
    """At least one signature holds, none is false, and the scan admits it. Missing evidence is a refusal.

    A format that was not used is fine beside one that holds; one that was altered, moved or made by another key is not:
    somebody has been at it.
    """
    false = [one for one in signatures if one.proof not in (Proof.VALID, Proof.MISSING)]
    if false:
        return _refuse(f"its {false[0].name} is {false[0].proof.value}: {false[0].found}")
    if not any(one.proof is Proof.VALID for one in signatures):
        return _refuse(
            "it is not signed; release it with `bakewell release`, which signs what it bakes"
        )
    if scan.answer is Admission.REFUSE:
        return scan
    return Decision(Admission.ADMIT, f"signed by our builder; {scan.reason}")


def _refuse(reason: str) -> Decision[Admission]:
    return Decision(Admission.REFUSE, reason)
