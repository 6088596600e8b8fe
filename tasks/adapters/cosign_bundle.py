"""The shapes that cosign reads and writes, as pure functions: simple signing, DSSE, in-toto statements, Sigstore bundles.

Specs: cosign SIGNATURE_SPEC.md (simple signing), DSSE protocol v1.0.2, in-toto Statement v1, Sigstore bundle v0.3.
No `keyid` is written into envelopes: cosign 3 then counts no signature at all.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from tasks import oci

SIMPLE: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE: Final = "dev.cosignproject.cosign/signature"
SIMPLE_TYPE: Final = "cosign container image signature"
IN_TOTO: Final = "application/vnd.in-toto+json"
STATEMENT: Final = "https://in-toto.io/Statement/v1"
BUNDLE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
BUNDLES: Final = "application/vnd.dev.sigstore.bundle"
DSSE: Final = "application/vnd.dsse.envelope.v1+json"
STATEMENTS: Final = (STATEMENT, "https://in-toto.io/Statement/v0.1")
SIGNATURES_AT_MOST: Final = 16
SIGNED: Final = "https://sigstore.dev/cosign/sign/v1"


class UnreadableError(ValueError):
    """What should be evidence is not made as evidence is."""


Sign = Callable[[bytes], bytes]


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def simple_payload(repository: str, digest: str) -> bytes:
    """What the `.sig` tag's signature is over. `repository` only says where it was signed; the digest counts."""
    identity = {"docker-reference": repository}
    image = {"docker-manifest-digest": digest}
    critical = {"identity": identity, "image": image, "type": SIMPLE_TYPE}
    return oci.canonical({"critical": critical, "optional": None})


def simple_subject(payload: bytes) -> str:
    """The digest that a payload is about. UnreadableError if it is no such payload."""
    try:
        critical = parsed(payload)["critical"]
        found, kind = critical["image"]["docker-manifest-digest"], critical["type"]
    except (KeyError, TypeError) as error:
        raise UnreadableError(f"it is no simple signing payload: {error!r}") from error
    if kind != SIMPLE_TYPE or not isinstance(found, str):
        raise UnreadableError(f"it is a {kind!r}, not a {SIMPLE_TYPE!r}")
    return found


def signature_tag(digest: str) -> str:
    """`sha256-<hex>.sig`: where cosign 2 looks."""
    return f"sha256-{oci.hex_of(digest)}.sig"


def attestation_tag(digest: str) -> str:
    """`sha256-<hex>.att`: where cosign 2 looks for attestations."""
    return f"sha256-{oci.hex_of(digest)}.att"


def signature_image(layers: list[dict[str, Any]]) -> tuple[bytes, bytes]:
    """Configuration and manifest of the image behind the `.sig` or `.att` tag: a layer for each signature."""
    config = oci.canonical(
        {
            "architecture": "",
            "os": "",
            "created": "0001-01-01T00:00:00Z",
            "config": {},
            "history": [{"created": "0001-01-01T00:00:00Z"}] * len(layers),
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
        }
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": {
            "mediaType": oci.CONFIG,
            "digest": oci.digest_of(config),
            "size": len(config),
        },
        "layers": layers,
    }
    return config, oci.canonical(manifest)


def statement(digest: str, predicate_type: str, predicate: Mapping[str, Any]) -> bytes:
    """An in-toto statement about one digest."""
    algorithm, _, value = digest.partition(":")
    return oci.canonical(
        {
            "_type": STATEMENT,
            "subject": [{"digest": {algorithm: value}}],
            "predicateType": predicate_type,
            "predicate": predicate,
        }
    )


def is_about(found: Mapping[str, Any], digest: str) -> bool:
    """Is this statement about that digest, and about no other?"""
    algorithm, _, value = digest.partition(":")
    subjects = found.get("subject")
    if not isinstance(subjects, list) or len(subjects) != 1 or not isinstance(subjects[0], dict):
        return False
    digests = subjects[0].get("digest")
    return isinstance(digests, dict) and digests.get(algorithm) == value


def signed_bytes(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed is type and content, each with its length."""
    return b"DSSEv1 %d %s %d %s" % (len(IN_TOTO), IN_TOTO.encode(), len(payload), payload)


def envelope(payload: bytes, sign: Sign) -> dict[str, Any]:
    """A DSSE envelope of a statement, signed."""
    return {
        "payload": b64(payload),
        "payloadType": IN_TOTO,
        "signatures": [{"sig": b64(sign(signed_bytes(payload)))}],
    }


def bundle(payload: bytes, sign: Sign, fingerprint: bytes) -> bytes:
    """A Sigstore bundle without transparency log entry, as key-based cosign 3 writes it."""
    material = {"publicKey": {"hint": b64(fingerprint)}, "tlogEntries": []}
    signed = envelope(payload, sign)
    return oci.canonical(
        {"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": signed}
    )


@dataclass(frozen=True)
class Opened:
    """What an envelope holds. `hint` and `certificate` are empty where the bundle has none."""

    payload: bytes
    signatures: tuple[bytes, ...]
    hint: str = ""
    certificate: bool = False


def opened_bundle(raw: bytes) -> Opened:
    """A Sigstore bundle. UnreadableError if it is none that holds an envelope."""
    found = parsed(raw)
    material = _mapping(found, "verificationMaterial")
    public = material.get("publicKey")
    hint = public.get("hint") if isinstance(public, dict) else None
    inside = opened_envelope(_mapping(found, "dsseEnvelope"))
    by_certificate = "certificate" in material or "x509CertificateChain" in material
    return replace(inside, hint=str(hint or ""), certificate=by_certificate)


def opened_envelope(envelope: Mapping[str, Any]) -> Opened:
    """A DSSE envelope of an in-toto statement. UnreadableError if it is none."""
    if envelope.get("payloadType") != IN_TOTO:
        raise UnreadableError(f"its payload is {envelope.get('payloadType')!r}, not {IN_TOTO!r}")
    signed = envelope.get("signatures")
    if not isinstance(signed, list) or len(signed) > SIGNATURES_AT_MOST:
        raise UnreadableError(f"its signatures are no list of at most {SIGNATURES_AT_MOST}")
    if not all(isinstance(one, dict) for one in signed):
        raise UnreadableError("one of its signatures is none")
    return Opened(
        raw_bytes(envelope.get("payload")), tuple(raw_bytes(one.get("sig")) for one in signed)
    )


def parsed(raw: bytes) -> Mapping[str, Any]:
    """A JSON object. UnreadableError for everything else, be it nested without end."""
    try:
        found = json.loads(raw)
    except RecursionError:
        raise UnreadableError("it is JSON nested too deeply") from None
    except ValueError as error:
        raise UnreadableError(f"it is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise UnreadableError("it is no JSON object")
    return found


def is_evidence(media_type: object) -> bool:
    """May a layer of this type be a signature or an attestation?"""
    return isinstance(media_type, str) and (media_type in (SIMPLE, DSSE) or is_bundle(media_type))


def is_bundle(media_type: str) -> bool:
    """Of any version: what it holds decides."""
    return media_type.startswith(BUNDLES)


def _mapping(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = found.get(name)
    if not isinstance(inner, dict):
        raise UnreadableError(f"it has no {name}")
    return inner


def raw_bytes(text: object) -> bytes:
    """What base64 stands for. UnreadableError if it is none."""
    if not isinstance(text, str):
        raise UnreadableError("what should be base64 is no text")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise UnreadableError(f"what should be base64 is not: {error}") from error


def bundle_manifest(raw: bytes, predicate_type: str, subject: dict[str, Any]) -> bytes:
    """The manifest that hangs a bundle on its subject (OCI 1.1 referrer)."""
    annotations = {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": predicate_type,
    }
    layer = {"mediaType": BUNDLE, "digest": oci.digest_of(raw), "size": len(raw)}
    empty = {"mediaType": oci.EMPTY, "digest": oci.digest_of(b"{}"), "size": 2}
    return oci.canonical(
        {
            "schemaVersion": 2,
            "mediaType": oci.MANIFEST,
            "artifactType": BUNDLE,
            "config": empty,
            "layers": [layer],
            "subject": subject,
            "annotations": annotations,
        }
    )
