"""Verification: what is known and proved about one artifact."""

from flows.facts import checked
from flows.plain import Check
from tasks import platforms
from tasks.errors import InvalidInputError
from tasks.evidence import Checked, Kind, Proof
from tasks.model import Artifact
from tasks.policy import RequiredKind
from tasks.sign import evidence

NEXT = {
    Proof.MISSING: "release it with `bakewell release`, which signs and attests what it bakes",
    Proof.WRONG_ROLE: "do not run it: only its own role may say this (`bakewell keys list`)",
    Proof.KEY_NOT_VALID: "sign it again with a key that is valid (`bakewell keys`)",
    Proof.INCOMPLETE: "do not run it: find out who removed a part of it",
    Proof.TOO_LARGE: "do not run it: find out who put it there",
    Proof.WRONG_KEY: "trust it only if you know that key; else do not run it",
    Proof.ALTERED: "do not run it: find out who changed it",
    Proof.MOVED: "do not run it: find out who put it there",
    Proof.UNREADABLE: "do not run it: find out who wrote it",
}


def artifact_of(reference: str) -> Artifact:
    """`repository@sha256:…`, or `service@sha256:…` for the embedded store."""
    repository, at, digest = reference.rpartition("@")
    if not at or not digest.startswith("sha256:") or len(digest) != 71:
        raise InvalidInputError(
            f"{reference!r} does not name an artifact by digest; write repository@sha256:… or service@sha256:…"
            " (`bakewell status` shows them)"
        )
    if "/" not in repository and ":" not in repository:
        repository = f"layout:{platforms.home() / 'artifacts' / repository}"
    return Artifact(repository.rsplit("/", 1)[-1], digest, repository)


def verified(reference: str) -> list[Check]:
    """Every kind of evidence, each with what was found. NotFoundError if there is no such artifact."""
    artifact = artifact_of(reference)
    platforms.store(artifact.repository).manifest(artifact.digest)
    dossier = evidence.examine(artifact)
    signed = any(one.proof is Proof.VALID for one in dossier.signatures)
    others = [checked(dossier, Kind(kind.value)) for kind in RequiredKind]
    return [_check(one, missing_is_fine=signed) for one in dossier.signatures] + [
        _check(one, missing_is_fine=False) for one in others
    ]


def _check(one: Checked, missing_is_fine: bool) -> Check:
    if one.proof is Proof.VALID:
        return Check(one.name, True, one.found)
    if one.proof is Proof.MISSING and missing_is_fine:
        return Check(one.name, True, "there is none, and the other format holds")
    return Check(one.name, False, f"{one.proof.value}: {one.found}; {NEXT[one.proof]}")
