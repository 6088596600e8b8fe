"""What one piece of evidence is worth: its signature, who made it, what it says, and about what.

A statement proves something only if the key of the role that alone may say it has signed it, today, about this digest.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tasks.adapters import cosign_bundle
from tasks.adapters.cosign_bundle import Opened, UnreadableError
from tasks.adapters.cosign_pieces import Piece, Where
from tasks.adapters.keyring import Judged, Keyring
from tasks.errors import CorruptError, NotFoundError, TooLargeError
from tasks.evidence import PREDICATES, ROLES, Attested, Checked, KeyRole, Kind, Proof
from tasks.model import Artifact

KIND_OF: Final = {predicate: kind for kind, predicate in PREDICATES.items()}
# The most telling first: what was moved or altered on purpose must not be hidden by what is merely somebody else's.
BEST_FIRST: Final = (
    Proof.VALID,
    Proof.MOVED,
    Proof.ALTERED,
    Proof.INCOMPLETE,
    Proof.TOO_LARGE,
    Proof.UNREADABLE,
    Proof.KEY_NOT_VALID,
    Proof.WRONG_ROLE,
    Proof.WRONG_KEY,
    Proof.MISSING,
)


@dataclass(frozen=True)
class Seen:
    """One thing that was found beside an artifact, and how."""

    where: Where
    attested: Attested


@dataclass(frozen=True)
class Judge:
    """Judges pieces that were found beside one artifact, with one keyring."""

    artifact: Artifact
    keys: Keyring

    def piece(self, piece: Piece, raw: bytes, manifest: str) -> Attested:
        """A signature or statement, in whichever of the three formats. UnreadableError if it cannot be read."""
        if piece.media_type == cosign_bundle.SIMPLE:
            return self._simple(piece, raw, manifest)
        if cosign_bundle.is_bundle(piece.media_type):
            opened = cosign_bundle.opened_bundle(raw)
        else:
            opened = cosign_bundle.opened_envelope(cosign_bundle.parsed(raw))
        return self._statement(opened, raw, manifest)

    def _simple(self, piece: Piece, raw: bytes, manifest: str) -> Attested:
        signature = cosign_bundle.raw_bytes(piece.annotations.get(cosign_bundle.SIGNATURE))
        judged = self.keys.judged(KeyRole.BUILDER, [signature], raw)
        subject = cosign_bundle.simple_subject(raw)
        if judged.proof is Proof.VALID and subject != self.artifact.digest:
            judged = Judged(Proof.MOVED, f"it was made for {subject}", judged.key)
        return _attested(Kind.SIGNATURE, judged, manifest, {})

    def _statement(self, opened: Opened, raw: bytes, manifest: str) -> Attested:
        said = cosign_bundle.parsed(opened.payload)
        if said.get("_type") not in cosign_bundle.STATEMENTS:
            raise UnreadableError(f"it is a {said.get('_type')!r}, not an in-toto statement")
        kind = KIND_OF.get(str(said.get("predicateType")))
        if kind is None:
            return _foreign(str(said.get("predicateType")), manifest)
        judged = self._signed(ROLES[kind], opened, raw)
        if judged.proof is Proof.VALID and not cosign_bundle.is_about(said, self.artifact.digest):
            judged = Judged(Proof.MOVED, "it was made for another artifact", judged.key)
        predicate = said.get("predicate") or {}
        if judged.proof is Proof.VALID and not isinstance(predicate, dict):
            raise UnreadableError(f"its predicate is no object but {type(predicate).__name__}")
        return _attested(kind, judged, manifest, predicate)

    def _signed(self, role: KeyRole, opened: Opened, raw: bytes) -> Judged:
        if opened.certificate:
            return self.keys.judged_keyless(role, raw, opened.payload)
        message = cosign_bundle.signed_bytes(opened.payload)
        return self.keys.judged(role, opened.signatures, message, opened.hint)


def _attested(kind: Kind, judged: Judged, manifest: str, predicate: Mapping[str, Any]) -> Attested:
    worth = predicate if judged.proof is Proof.VALID else {}
    return Attested(kind, PREDICATES[kind], judged.proof, judged.found, manifest, judged.key, worth)


def _foreign(predicate_type: str, manifest: str) -> Attested:
    """Others may say what they like beside ours: it is told, and counts for nothing."""
    found = f"{json.dumps(predicate_type)} is none of ours: it was not looked at"
    return Attested(None, predicate_type, Proof.WRONG_ROLE, found, manifest)


def broken(error: Exception, manifest: str) -> Attested:
    """What could not be read, and why."""
    proof, found = _why(error)
    return Attested(None, "", proof, found, manifest)


def _why(error: Exception) -> tuple[Proof, str]:
    match error:
        case NotFoundError():
            return Proof.INCOMPLETE, f"something that it names is missing: {error}"
        case CorruptError():
            return Proof.ALTERED, f"its bytes are not those that were stored: {error}"
        case TooLargeError():
            return Proof.TOO_LARGE, str(error)
    return Proof.UNREADABLE, f"it cannot be read: {error}"


def signature(where: Where, seen: Sequence[Seen]) -> Checked:
    """What the artifact's signatures of one format are worth together.

    One that holds is enough: others may sign as well. If none does, the most telling reason; what cannot be read might
    have been one.
    """
    here = [one.attested for one in seen if one.where is where]
    found = [one for one in here if one.kind is Kind.SIGNATURE or is_broken(one)]
    if not found:
        return Checked(where.value, Proof.MISSING, "there is none")
    best = min(found, key=lambda one: BEST_FIRST.index(one.proof))
    return Checked(where.value, best.proof, best.found)


def is_broken(one: Attested) -> bool:
    """Could nobody tell what it says?"""
    return one.kind is None and not one.predicate_type
