"""Signatures and attestations that cosign 2 and 3 verify, beside the artifact in its own store.

Two formats of one signature: the `.sig` tag (cosign 2's default) and a Sigstore bundle as referrer (cosign 3's). What was
written is fetched again and verified before it counts. No library: sigstore-python refuses bundles made with a key,
securesystemslib writes a keyid that cosign 3 stumbles over; the formats are small (see cosign_bundle.py).
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tasks import oci
from tasks.adapters import cosign_bundle
from tasks.adapters.cosign_key import KeyRole, LocalKeys
from tasks.adapters.file_lock import locked_name
from tasks.errors import BakewellError, CorruptError, NotFoundError, VerificationFailedError
from tasks.model import Artifact, Checked, Proof
from tasks.ports import ArtifactStore

TAG: Final = "signature, .sig tag"
REFERRER: Final = "signature, bundle"
# The most telling first: what was moved or altered on purpose must not be hidden by what is merely somebody else's.
WORST_FIRST: Final = (Proof.MOVED, Proof.ALTERED, Proof.UNREADABLE, Proof.WRONG_KEY)


@dataclass(frozen=True)
class Looked:
    """One signature or attestation that was found, what it is worth, and what it says (VALID only)."""

    proof: Proof
    found: str
    predicate: Mapping[str, Any]


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
            if self.check_bundle(artifact).proof is not Proof.VALID:
                self._attach(artifact, KeyRole.BUILDER, cosign_bundle.SIGNED, {})
        for checked in self.check_signatures(artifact):
            _refuse_unless_valid(artifact, checked)

    def attest(
        self, artifact: Artifact, role: KeyRole, predicate_type: str, predicate: Mapping[str, Any]
    ) -> None:
        """Attach a signed statement about the artifact. VerificationFailedError if it cannot be verified afterwards."""
        with locked_name(artifact.reference):
            self._attach(artifact, role, predicate_type, predicate)
        wanted = json.loads(oci.canonical(predicate))
        found = self.attestations(artifact, role, predicate_type)
        if not any(one.proof is Proof.VALID and one.predicate == wanted for one in found):
            raise VerificationFailedError(
                f"{predicate_type} of {artifact.reference} was written, but what is there now is not it; is somebody else"
                " writing there?"
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

    def _attach(
        self, artifact: Artifact, role: KeyRole, predicate_type: str, predicate: Mapping[str, Any]
    ) -> None:
        payload = cosign_bundle.statement(artifact.digest, predicate_type, predicate)
        raw = cosign_bundle.bundle(
            payload, lambda message: self._keys.sign(role, message), self._keys.fingerprint(role)
        )
        about = self._store.manifest(artifact.digest)
        kind = oci.media_type(oci.checked_manifest(about))
        subject = {"mediaType": kind, "digest": artifact.digest, "size": len(about)}
        self._store.put_blob(b"{}")
        self._store.put_blob(raw)
        self._store.put_manifest(cosign_bundle.bundle_manifest(raw, predicate_type, subject))

    # ---- verifying -------------------------------------------------------------------------------

    def check_signatures(self, artifact: Artifact) -> tuple[Checked, Checked]:
        """Both formats. TransientError if the store does not answer: that is not "unsigned"."""
        return self.check_tag(artifact), self.check_bundle(artifact)

    def check_tag(self, artifact: Artifact) -> Checked:
        """Is there a `.sig` signature by our builder for this very digest?"""
        return _best(TAG, list(self._tagged(artifact)))

    def check_bundle(self, artifact: Artifact) -> Checked:
        """Is there a bundle by our builder that signs (not merely attests something about) this very digest?"""
        found = self.attestations(artifact, KeyRole.BUILDER, cosign_bundle.SIGNED)
        return _best(REFERRER, found)

    def check_attestation(self, artifact: Artifact, role: KeyRole, predicate_type: str) -> Checked:
        return _best(predicate_type, self.attestations(artifact, role, predicate_type))

    def attestations(self, artifact: Artifact, role: KeyRole, predicate_type: str) -> list[Looked]:
        """Every bundle of that type on the artifact, with its worth."""
        found = []
        for referrer in self._store.referrers(artifact.digest):
            looked = self._looked(artifact, referrer.digest, role, predicate_type)
            if looked is not None:
                found.append(looked)
        return found

    def _tagged(self, artifact: Artifact) -> Iterator[Looked]:
        tag = cosign_bundle.signature_tag(artifact.digest)
        try:
            known = self._store.resolve(tag)
            layers = json.loads(self._store.manifest(known))["layers"] if known else []
            signed = [one for one in layers if one["mediaType"] == cosign_bundle.SIMPLE]
        except (CorruptError, NotFoundError) as error:
            yield _altered(error)
            return
        except (ValueError, KeyError, TypeError) as error:
            yield Looked(
                Proof.UNREADABLE, f"what the tag {tag} names is no signature: {error!r}", {}
            )
            return
        for layer in signed:
            yield self._simple(artifact, layer)

    def _simple(self, artifact: Artifact, layer: Mapping[str, Any]) -> Looked:
        try:
            payload = self._store.blob(layer["digest"])
            signature = base64.b64decode(
                layer["annotations"][cosign_bundle.SIGNATURE], validate=True
            )
        except (CorruptError, NotFoundError) as error:
            return _altered(error)
        except (ValueError, KeyError, TypeError) as error:
            return Looked(Proof.UNREADABLE, f"its signature cannot be read: {error!r}", {})
        if not self._keys.verifies(KeyRole.BUILDER, signature, payload):
            return Looked(Proof.WRONG_KEY, "another key made it, or it was altered since", {})
        return _subject(artifact, cosign_bundle.simple_subject(payload))

    def _looked(
        self, artifact: Artifact, referrer: str, role: KeyRole, predicate_type: str
    ) -> Looked | None:
        """None: it is something else. The index of referrers is not believed; each manifest is opened."""
        try:
            manifest = json.loads(self._store.manifest(referrer))
            if manifest.get("artifactType") != cosign_bundle.BUNDLE:
                return None
            raw = self._store.blob(manifest["layers"][0]["digest"])
            payload, signatures, hint = cosign_bundle.opened(raw)
            said = json.loads(payload)
            if said.get("predicateType") != predicate_type:
                return None
        except (CorruptError, NotFoundError) as error:
            return _altered(error)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            return Looked(Proof.UNREADABLE, f"it cannot be read: {error!r}", {})
        return self._judged(artifact, role, payload, signatures, hint, said)

    def _judged(
        self,
        artifact: Artifact,
        role: KeyRole,
        payload: bytes,
        signatures: list[bytes],
        hint: bytes,
        said: Mapping[str, Any],
    ) -> Looked:
        message = cosign_bundle.signed_bytes(payload)
        if not any(self._keys.verifies(role, one, message) for one in signatures):
            if hint and hint != self._keys.fingerprint(role):
                return Looked(Proof.WRONG_KEY, f"another key than our {role.value}'s made it", {})
            return Looked(Proof.ALTERED, "its signature does not fit what it says", {})
        if not cosign_bundle.is_about(said, artifact.digest):
            return Looked(Proof.MOVED, "it was made for another artifact", {})
        return Looked(Proof.VALID, f"made by our {role.value}", said.get("predicate") or {})


def _subject(artifact: Artifact, subject: str) -> Looked:
    if subject != artifact.digest:
        return Looked(Proof.MOVED, f"it was made for {subject or 'something else'}", {})
    return Looked(Proof.VALID, "made by our builder", {})


def _altered(error: BakewellError) -> Looked:
    return Looked(Proof.ALTERED, f"its bytes are not those that were stored: {error}", {})


def _best(name: str, found: list[Looked]) -> Checked:
    """One that holds is enough: others may sign as well. If none does, the most telling reason."""
    if not found:
        return Checked(name, Proof.MISSING, "there is none")
    order = {proof: number for number, proof in enumerate((Proof.VALID, *WORST_FIRST))}
    best = min(found, key=lambda one: order[one.proof])
    return Checked(name, best.proof, best.found)


def _refuse_unless_valid(artifact: Artifact, checked: Checked) -> None:
    if checked.proof is not Proof.VALID:
        raise VerificationFailedError(
            f"{artifact.reference} was signed, but the {checked.name} that is there now is {checked.proof.value}:"
            f" {checked.found}; is somebody else writing there?"
        )
