"""What is known of an artifact, gathered for the rule that judges it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from flows.quarantine import quarantined
from tasks import platforms
from tasks.admit.quarantine import grounds
from tasks.admit.rules import Facts
from tasks.evidence import Checked, Dossier, Kind, Proof
from tasks.journal.rebuilds import BasesSeen
from tasks.journal.rules import BakedBody, EventKind, body_of
from tasks.policy import Policy, RequiredKind
from tasks.sign.provenance import read_provenance
from tasks.sign.rules import newest_scan
from tasks.sign.statements import promoted_in, tested_in

ALWAYS: Final = datetime.min.replace(tzinfo=UTC)
# The most telling first: what was moved or altered on purpose must not be hidden by what is merely somebody else's.
WORST_FIRST = (
    Proof.MOVED,
    Proof.ALTERED,
    Proof.WRONG_ROLE,
    Proof.INCOMPLETE,
    Proof.TOO_LARGE,
    Proof.UNREADABLE,
    Proof.KEY_NOT_VALID,
    Proof.WRONG_KEY,
)


def facts_of(dossier: Dossier, policy: Policy) -> Facts:
    """Of the evidence as it was just read. The journal is asked only for what the policy asks."""
    artifact = dossier.artifact
    return Facts(
        service=artifact.service,
        signatures=dossier.signatures,
        evidence={kind: checked(dossier, Kind(kind.value)) for kind in RequiredKind},
        scan=newest_scan(dossier.valid(Kind.SCAN), artifact.digest),
        provenances=tuple(filter(None, map(read_provenance, dossier.valid(Kind.PROVENANCE)))),
        tested_in=tested_in(dossier.valid(Kind.SMOKE_TEST)),
        promoted_in=promoted_in(dossier.valid(Kind.VERDICT)),
        bases_known_since=bases_known_since() if policy.base.min_age_hours else {},
        quarantined=grounds(quarantined(artifact, dossier)),
    )


def checked(dossier: Dossier, kind: Kind) -> Checked:
    """What evidence of that kind is worth as a whole: one that holds is enough, else the most telling reason."""
    # What is too broken to say of which kind it is may have been of this one: more telling than that there is none.
    found = dossier.of(kind) or tuple(one for one in dossier.attested if one.kind is None)
    if not found:
        return Checked(kind.value, Proof.MISSING, "there is none")
    order = {proof: place for place, proof in enumerate((Proof.VALID, *WORST_FIRST))}
    best = min(found, key=lambda one: order[one.proof])
    return Checked(kind.value, best.proof, best.found)


def bases_known_since() -> Mapping[str, datetime]:
    """When each base was first baked on, by any service of this journal, or first seen behind the tag of one. What was baked
    here itself is as old as what it stands on: whatever could be wrong with it came from there."""
    found: dict[str, datetime] = {}
    for event in platforms.journal().events():
        if event.kind not in (EventKind.BAKED, EventKind.BASES_SEEN):
            continue
        body = body_of(event)
        if isinstance(body, BasesSeen):
            for one in body.seen:
                found.setdefault(one.digest, event.at)
        elif isinstance(body, BakedBody):
            since = found.setdefault(body.base, event.at) if body.base else ALWAYS
            made = body.artifact.digest
            found[made] = max(since, found.get(made, since))
    return found
