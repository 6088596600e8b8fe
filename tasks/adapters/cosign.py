"""Signatures and attestations that cosign 2 and 3 verify, beside the artifact in its own store.

Two formats of one signature: the `.sig` tag (cosign 2's default) and a Sigstore bundle as referrer (cosign 3's); attestations
are bundles, and cosign 2's `.att` tags are read. What was written is fetched again and verified before it counts. No library:
sigstore-python refuses bundles made with a key, securesystemslib writes a keyid that cosign 3 stumbles over; the formats are
small (see cosign_bundle.py).
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from tasks import oci
from tasks.adapters import cosign_bundle, cosign_judging, cosign_pieces
from tasks.adapters.cosign_bundle import UnreadableError
from tasks.adapters.cosign_judging import Judge, Seen
from tasks.adapters.cosign_pieces import Listed, Where, at_once
from tasks.adapters.file_lock import locked_name
from tasks.adapters.keyring import Keyring
from tasks.errors import RefusedError, VerificationFailedError
from tasks.evidence import Attested, Checked, Dossier, KeyRole, Kind, Proof, Statement
from tasks.model import Artifact
from tasks.ports import ArtifactStore


class Cosign:
    """Evidence of artifacts in one store, signed and verified with the keys of this machine."""

    def __init__(self, store: ArtifactStore, keys: Keyring) -> None:
        self._store = store
        self._keys = keys

    # ---- writing ---------------------------------------------------------------------------------

    def sign(self, artifact: Artifact) -> None:
        """Sign as builder, in both formats; what is there already is left. VerificationFailedError if it does not hold.

        Who signs keyless writes a bundle only: the `.sig` tag has no place for the log's proof that cosign 3 would read.
        """
        keyless = self._keys.is_keyless(KeyRole.BUILDER)
        with locked_name(artifact.reference):
            tag, bundle = self.examine(artifact).signatures
            if tag.proof is not Proof.VALID and not keyless:
                self._tag(artifact)
            if bundle.proof is not Proof.VALID:
                self._attach(artifact, [Statement(Kind.SIGNATURE, {})])
        for checked in self.examine(artifact).signatures[1 if keyless else 0 :]:
            _refuse_unless_valid(artifact, checked)

    def attest(self, artifact: Artifact, statements: Sequence[Statement]) -> None:
        """Attach signed statements about the artifact; those that are there already are left.

        VerificationFailedError if they cannot be verified afterwards.
        """
        with locked_name(artifact.reference):
            absent = _absent(self.examine(artifact), statements)
            if not absent:
                return
            self._attach(artifact, absent)
        for one in _absent(self.examine(artifact), absent):
            raise VerificationFailedError(
                f"{one.kind.value} of {artifact.reference} was written, but what is there now is not it; is somebody"
                " else writing there?"
            )

    def resign(self, artifact: Artifact) -> tuple[Attested, ...]:
        """Sign again, with the keys that sign now, what only keys vouch for whose time is limited. Returns what it was."""
        trusted = self._keys.trusted
        limited = {one.name for one in (*trusted.keys, *trusted.identities) if one.not_after}
        signing = {name for role in KeyRole for name in self._keys.vouching(role)}
        with locked_name(artifact.reference):
            seen, _ = self._seen(artifact)
            valid = [one for one in seen if one.attested.proof is Proof.VALID]
            old = [one for one in valid if one.attested.key in limited - signing]
            kept = [one for one in valid if one not in old]
            again = [one for one in old if not any(_same(one, other) for other in kept)]
            if any(one.where is Where.SIGNATURE_TAG for one in again):
                self._tag(artifact)
            said = [one.attested for one in again if one.where is not Where.SIGNATURE_TAG]
            self._attach(artifact, [Statement(_kind(one), one.predicate) for one in said])
        self._check_signed_again(artifact, again, signing)
        return tuple(one.attested for one in again)

    def _check_signed_again(
        self, artifact: Artifact, again: Sequence[Seen], signing: set[str]
    ) -> None:
        valid = [one for one in self._seen(artifact)[0] if one.attested.proof is Proof.VALID]
        new = [one for one in valid if one.attested.key in signing]
        if lost := [one for one in again if not any(_same(one, other) for other in new)]:
            raise VerificationFailedError(
                f"{_kind(lost[0].attested).value} of {artifact.reference} was signed again, but what is there now is not"
                " it; is somebody else writing there?"
            )

    def _tag(self, artifact: Artifact) -> None:
        """One more layer in the image behind the tag: others' signatures stay, as far as they are whole."""
        payload = cosign_bundle.simple_payload(artifact.repository, artifact.digest)
        tag = cosign_bundle.signature_tag(artifact.digest)
        layers = self._layers(tag)
        signature = self._keys.sign(KeyRole.BUILDER, payload)
        layer = {
            "mediaType": cosign_bundle.SIMPLE,
            "digest": self._store.put_blob(payload).digest,
            "size": len(payload),
            "annotations": {cosign_bundle.SIGNATURE: cosign_bundle.b64(signature)},
        }
        config, manifest = cosign_bundle.signature_image([*layers, layer])
        self._store.put_blob(config)
        self._store.put_manifest(manifest, tag)

    def _layers(self, tag: str) -> list[dict[str, Any]]:
        """What is behind a tag and can still be read; nothing, where that is garbage or gone."""
        if (known := self._store.resolve(tag)) is None:
            return []
        try:
            found = cosign_pieces.manifest(self._store, Listed(Where.SIGNATURE_TAG, known))
            pieces = list(cosign_pieces.pieces(found))
        except (RefusedError, UnreadableError):
            return []
        return [one.as_layer() for one in pieces if self._store.has_blob(one.digest)]

    def _attach(self, artifact: Artifact, statements: Sequence[Statement]) -> None:
        """All their blobs at once; then the manifests, one after the other: their list has one writer at a time."""
        about = self._store.manifest(artifact.digest)
        kind = oci.media_type(oci.checked_manifest(about))
        subject = {"mediaType": kind, "digest": artifact.digest, "size": len(about)}
        bundles = [self._bundle(artifact, one) for one in statements]
        at_once(self._store.put_blob, [b"{}", *bundles])
        for one, raw in zip(statements, bundles, strict=True):
            manifest = cosign_bundle.bundle_manifest(raw, one.predicate_type, subject)
            self._store.put_manifest(manifest)

    def _bundle(self, artifact: Artifact, said: Statement) -> bytes:
        payload = cosign_bundle.statement(artifact.digest, said.predicate_type, said.predicate)
        if self._keys.is_keyless(said.role):
            return self._keys.keyless.sign(payload)
        return cosign_bundle.bundle(
            payload,
            lambda message: self._keys.sign(said.role, message),
            self._keys.fingerprint(said.role),
        )

    # ---- verifying -------------------------------------------------------------------------------

    def examine(self, artifact: Artifact) -> Dossier:
        """All evidence beside the artifact, verified. TransientError if the store does not answer: that is not "unsigned"."""
        seen, pieces = self._seen(artifact)
        signatures = tuple(
            cosign_judging.signature(where, seen) for where in (Where.SIGNATURE_TAG, Where.REFERRER)
        )
        said = tuple(one.attested for one in seen if one.where is not Where.SIGNATURE_TAG)
        return Dossier(artifact, signatures, said, pieces)

    def present(self, artifact: Artifact, pieces: Sequence[str]) -> bool:
        """Are exactly these pieces still what lies beside the artifact, byte by byte (the largest: by name)? Signatures are
        not verified again: the same bytes by the same keys are worth the same.

        TransientError if the store does not answer.
        """
        try:
            listed = cosign_pieces.listed(self._store, artifact)
        except (RefusedError, UnreadableError):
            return False
        manifests, known = {one.digest for one in listed}, set(pieces)
        if not manifests <= known:
            return False
        return set().union(*at_once(self._whole, listed)) == known - manifests

    def _whole(self, one: Listed) -> set[str]:
        """Digests of the evidence that a listed manifest names, if all of it is there; else none."""
        try:
            found = list(cosign_pieces.pieces(cosign_pieces.manifest(self._store, one)))
            there = all(cosign_pieces.is_there(self._store, piece) for piece in found)
        except (RefusedError, UnreadableError):
            return set()
        return {piece.digest for piece in found} if there else set()

    def _seen(self, artifact: Artifact) -> tuple[list[Seen], tuple[str, ...]]:
        judge = Judge(artifact, self._keys)
        try:
            listed = cosign_pieces.listed(self._store, artifact)
        except (RefusedError, UnreadableError) as error:
            return [Seen(Where.REFERRER, cosign_judging.broken(error, ""))], ()
        looks = at_once(lambda one: self._look(judge, one), listed)
        read = {digest for _, digests in looks for digest in digests}
        return [one for found, _ in looks for one in found], tuple(sorted(read))

    def _look(self, judge: Judge, one: Listed) -> tuple[list[Seen], set[str]]:
        """What a listed manifest holds. The list is not believed: each manifest is opened."""
        read = {one.digest}
        found: list[Attested] = []
        try:
            manifest = cosign_pieces.manifest(self._store, one)
            for piece in cosign_pieces.pieces(manifest):
                read.add(piece.digest)
                found.append(self._judged(judge, piece, one.digest))
        except (RefusedError, UnreadableError) as error:
            found.append(cosign_judging.broken(error, one.digest))
        return [Seen(one.where, attested) for attested in found], read

    def _judged(self, judge: Judge, piece: cosign_pieces.Piece, manifest: str) -> Attested:
        try:
            raw = cosign_pieces.content(self._store, piece)
            return judge.piece(piece, raw, manifest)
        except (RefusedError, UnreadableError) as error:
            return cosign_judging.broken(error, manifest)


def _absent(dossier: Dossier, statements: Iterable[Statement]) -> list[Statement]:
    """Those of which no valid equal is there."""
    return [one for one in statements if not _among(dossier.valid(one.kind), one)]


def _among(valid: Sequence[Any], said: Statement) -> bool:
    wanted = json.loads(oci.canonical(said.predicate))
    return any(one == wanted for one in valid)


def _same(one: Seen, other: Seen) -> bool:
    """Do both say the same, where cosign would find it?"""
    tags = Where.SIGNATURE_TAG
    return (
        (one.where is tags) == (other.where is tags)
        and one.attested.kind is other.attested.kind
        and one.attested.predicate == other.attested.predicate
    )


def _kind(one: Attested) -> Kind:
    if one.kind is None:
        raise RefusedError(f"{one.predicate_type!r} is none of ours and cannot be signed again")
    return one.kind


def _refuse_unless_valid(artifact: Artifact, checked: Checked) -> None:
    if checked.proof is not Proof.VALID:
        raise VerificationFailedError(
            f"{artifact.reference} was signed, but the {checked.name} that is there now is {checked.proof.value}:"
            f" {checked.found}; is somebody else writing there?"
        )
