"""An artifact with everything a policy may ask for, made in this process."""

import json
from datetime import UTC, datetime

from tasks import platforms
from tasks.evidence import RolloutVerdict, Scanned
from tasks.model import Artifact, Verdict
from tasks.policy import Policy, PolicyInForce, SourceRule
from tasks.scan.scanning import scan
from tasks.sign import evidence
from tasks.sign.provenance import provenance
from tasks.sign.rules import scan_statements
from tasks.sign.statements import verdict_statement
from tests.support.baking import service
from tests.support.provenances import LINE, MAKING, MATERIALS, SOURCE


def vouched(artifact: Artifact) -> Scanned:
    """Scanned, signed, attested: what a release does between bake and rollout."""
    found = scan(artifact)
    evidence.attest(artifact, scan_statements(found))
    evidence.sign(artifact)
    evidence.attest(artifact, [provenance(service(), SOURCE, MATERIALS, MAKING)])
    return found


def more_evidence(artifact: Artifact, numbers: range) -> None:
    """Verdicts of as many rollouts that never were: small statements, a referrer each."""
    now = datetime.now(UTC)
    given = [
        RolloutVerdict(
            f"env-{one}", "process", Verdict.PROMOTE, "good", f"r{one}", now, now, {}, LINE
        )
        for one in numbers
    ]
    evidence.attest(artifact, [verdict_statement(one) for one in given])


def lenient() -> PolicyInForce:
    """The policy `default`, except that it lets the vulnerabilities of this machine's own packages pass."""
    default = platforms.policy("default")
    policy = default.policy.model_copy(update={"vulnerabilities": (), "source": SourceRule()})
    told = Policy.model_validate(json.loads(policy.model_dump_json()))
    return PolicyInForce("lenient", told, f"{default.fingerprint[:-4]}0000")
