"""Signatures and attestations that cosign 2 and 3 verify, beside the artifact in its own store.

Two formats of one signature: the `.sig` tag (cosign 2's default) and a Sigstore bundle as referrer (cosign 3's). What was
written is fetched again and verified before it counts. No library: sigstore-python refuses bundles made with a key,
securesystemslib writes a keyid that cosign 3 stumbles over; the formats are small (see cosign_bundle.py).
"""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tasks import oci
from tasks.adapters import cosign_bundle
from tasks.adapters.cosign_key import LocalKeys
from tasks.adapters.file_lock import locked_name
from tasks.errors import BakewellError, CorruptError, NotFoundError, VerificationFailedError
from tasks.evidence import (
    PREDICATES,
    ROLES,
    Attested,
    Checked,
    Dossier,
    KeyRole,
    Kind,
    Proof,
    Statement,
)
from tasks.model import Artifact
from tasks.ports import ArtifactStore

TAG: Final = "signature, .sig tag"
REFERRER: Final = "signature, bundle"
# The most telling first: what was moved or altered on purpose must not be hidden by what is merely somebody else's.
WORST_FIRST: Final = (Proof.MOVED, Proof.ALTERED, Proof.UNREADABLE, Proof.WRONG_KEY)


Found = tuple[Proof, str]
KIND_OF: Final = {predicate: kind for kind, predicate in PREDICATES.items()}


class Cosign:
    """Evidence of artifacts in one store, signed and verified with the keys of this machine."""

    def __init__(self, store: ArtifactStore, keys: LocalKeys) -> None:
        self._store = store
        self._keys = keys

    # ---- writing ---------------------------------------------------------------------------------

    def sign(self, artifact: Artifact) -> None:
        """Sign as builder, in both formats; what is there already is left. VerificationFailedError if it does not hold."""
        with locked_name(artifact.reference):
            if self.check_tag(artifact).proof is not Proof.VALID:
                self._tag(artifact)
            if _bundle_signature(self.examine(artifact).attested).proof is not Proof.VALID:
                self._attach(artifact, Statement(Kind.SIGNATURE, {}))
        for checked in self.examine(artifact).signatures:
            _refuse_unless_valid(artifact, checked)

    def attest(self, artifact: Artifact, statements: Sequence[Statement]) -> None:
        """Attach signed statements about the artifact. VerificationFailedError if they cannot be verified afterwards."""
        with locked_name(artifact.reference):
            for one in statements:
                self._attach(artifact, one)
        found = self.examine(artifact)
        for one in statements:
            wanted = json.loads(oci.canonical(one.predicate))
            if not any(valid == wanted for valid in found.valid(one.kind)):
                raise VerificationFailedError(
                    f"{one.kind.value} of {artifact.reference} was written, but what is there now is not it; is somebody"
                    " else writing there?"
                )

    def _tag(self, artifact: Artifact) -> None:
        """One more layer in the image behind the tag: others' signatures stay."""
        payload = cosign_bundle.simple_payload(artifact.repository, artifact.digest)
        tag = cosign_bundle.signature_tag(artifact.digest)
        known = self._store.resolve(tag)
        layers = json.loads(self._store.manifest(known))["layers"] if known else []
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

    def _attach(self, artifact: Artifact, said: Statement) -> None:
        payload = cosign_bundle.statement(artifact.digest, said.predicate_type, said.predicate)
        raw = cosign_bundle.bundle(
            payload,
            lambda message: self._keys.sign(said.role, message),
            self._keys.fingerprint(said.role),
        )
        about = self._store.manifest(artifact.digest)
        kind = oci.media_type(oci.checked_manifest(about))
        subject = {"mediaType": kind, "digest": artifact.digest, "size": len(about)}
        self._store.put_blob(b"{}")
        self._store.put_blob(raw)
        self._store.put_manifest(cosign_bundle.bundle_manifest(raw, said.predicate_type, subject))

    # ---- verifying -------------------------------------------------------------------------------

    def examine(self, artifact: Artifact) -> Dossier:
        """All evidence beside the artifact, verified. TransientError if the store does not answer: that is not "unsigned"."""
        attested = tuple(self._attestations(artifact))
        pieces = sorted(one.digest for one in attested)
        signatures = (self.check_tag(artifact), _bundle_signature(attested))
        return Dossier(artifact, signatures, attested, tuple(pieces))

    def check_tag(self, artifact: Artifact) -> Checked:
        """Is there a `.sig` signature by our builder for this very digest?"""
        return _best(TAG, list(self._tagged(artifact)))

    def _attestations(self, artifact: Artifact) -> Iterator[Attested]:
        for referrer in self._store.referrers(artifact.digest):
            looked = self._attested(artifact, referrer.digest)
            if looked is not None:
                yield looked

    def _tagged(self, artifact: Artifact) -> Iterator[Found]:
        tag = cosign_bundle.signature_tag(artifact.digest)
        try:
            known = self._store.resolve(tag)
            layers = json.loads(self._store.manifest(known))["layers"] if known else []
            signed = [one for one in layers if one["mediaType"] == cosign_bundle.SIMPLE]
        except (CorruptError, NotFoundError) as error:
            yield _altered(error)
            return
        except (ValueError, KeyError, TypeError) as error:
            yield (Proof.UNREADABLE, f"what the tag {tag} names is no signature: {error!r}")
            return
        for layer in signed:
            yield self._simple(artifact, layer)

    def _simple(self, artifact: Artifact, layer: Mapping[str, Any]) -> Found:
        try:
            payload = self._store.blob(layer["digest"])
            signature = base64.b64decode(
                layer["annotations"][cosign_bundle.SIGNATURE], validate=True
            )
        except (CorruptError, NotFoundError) as error:
            return _altered(error)
        except (ValueError, KeyError, TypeError) as error:
            return (Proof.UNREADABLE, f"its signature cannot be read: {error!r}")
        if not self._keys.verifies(KeyRole.BUILDER, signature, payload):
            return (Proof.WRONG_KEY, "another key made it, or it was altered since")
        return _subject(artifact, cosign_bundle.simple_subject(payload))

    def _attested(self, artifact: Artifact, referrer: str) -> Attested | None:
        """None: it is something else. The index of referrers is not believed; each manifest is opened."""
        try:
            manifest = json.loads(self._store.manifest(referrer))
            if manifest.get("artifactType") != cosign_bundle.BUNDLE:
                return None
            raw = self._store.blob(manifest["layers"][0]["digest"])
            payload, signatures, hint = cosign_bundle.opened(raw)
            said = json.loads(payload)
            kind = KIND_OF.get(said.get("predicateType"))
        except (CorruptError, NotFoundError) as error:
            return Attested(None, "", Proof.ALTERED, _not_as_stored(error), referrer)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            return Attested(None, "", Proof.UNREADABLE, f"it cannot be read: {error!r}", referrer)
        if kind is None:
            return None
        proof, found = self._judged(artifact, ROLES[kind], payload, signatures, hint, said)
        predicate = (said.get("predicate") or {}) if proof is Proof.VALID else {}
        return Attested(kind, PREDICATES[kind], proof, found, referrer, "", predicate)

    def _judged(
        self,
        artifact: Artifact,
        role: KeyRole,
        payload: bytes,
        signatures: list[bytes],
        hint: bytes,
        said: Mapping[str, Any],
    ) -> tuple[Proof, str]:
        message = cosign_bundle.signed_bytes(payload)
        if not any(self._keys.verifies(role, one, message) for one in signatures):
            if hint and hint != self._keys.fingerprint(role):
                return Proof.WRONG_KEY, f"another key than our {role.value}'s made it"
            return Proof.ALTERED, "its signature does not fit what it says"
        if not cosign_bundle.is_about(said, artifact.digest):
            return Proof.MOVED, "it was made for another artifact"
        return Proof.VALID, f"made by our {role.value}"


def _subject(artifact: Artifact, subject: str) -> Found:
    if subject != artifact.digest:
        return (Proof.MOVED, f"it was made for {subject or 'something else'}")
    return (Proof.VALID, "made by our builder")


def _altered(error: BakewellError) -> Found:
    return Proof.ALTERED, _not_as_stored(error)


def _not_as_stored(error: BakewellError) -> str:
    return f"its bytes are not those that were stored: {error}"


def _bundle_signature(attested: Sequence[Attested]) -> Checked:
    signed = [(one.proof, one.found) for one in attested if one.kind is Kind.SIGNATURE]
    broken = [(one.proof, one.found) for one in attested if one.kind is None]
    return _best(REFERRER, [*signed, *broken])


def _best(name: str, found: Sequence[Found]) -> Checked:
    """One that holds is enough: others may sign as well. If none does, the most telling reason."""
    if not found:
        return Checked(name, Proof.MISSING, "there is none")
    order = {proof: number for number, proof in enumerate((Proof.VALID, *WORST_FIRST))}
    return Checked(name, *min(found, key=lambda one: order[one[0]]))


def _refuse_unless_valid(artifact: Artifact, checked: Checked) -> None:
    if checked.proof is not Proof.VALID:
        raise VerificationFailedError(
            f"{artifact.reference} was signed, but the {checked.name} that is there now is {checked.proof.value}:"
            f" {checked.found}; is somebody else writing there?"
        )
