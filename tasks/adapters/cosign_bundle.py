"""The shapes that cosign reads and writes, as pure functions: simple signing, DSSE, in-toto statements, Sigstore bundles.

Specs: cosign SIGNATURE_SPEC.md (simple signing), DSSE protocol v1.0.2, in-toto Statement v1, Sigstore bundle v0.3.
No `keyid` is written into envelopes: cosign 3 then counts no signature at all.
"""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from tasks import oci

SIMPLE: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE: Final = "dev.cosignproject.cosign/signature"
SIMPLE_TYPE: Final = "cosign container image signature"
IN_TOTO: Final = "application/vnd.in-toto+json"
STATEMENT: Final = "https://in-toto.io/Statement/v1"
BUNDLE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIGNED: Final = "https://sigstore.dev/cosign/sign/v1"

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
    """The digest that a payload is about; empty if it is no such payload."""
    try:
        critical = json.loads(payload)["critical"]
        found = critical["image"]["docker-manifest-digest"]
        return str(found) if critical["type"] == SIMPLE_TYPE else ""
    except (ValueError, KeyError, TypeError):
        return ""


def signature_tag(digest: str) -> str:
    """`sha256-<hex>.sig`: where cosign 2 looks."""
    return f"sha256-{oci.hex_of(digest)}.sig"


def signature_image(layers: list[dict[str, Any]]) -> tuple[bytes, bytes]:
    """Configuration and manifest of the image behind the `.sig` tag: a layer for each signature."""
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
    if not isinstance(subjects, list) or len(subjects) != 1:
        return False
    return bool(subjects[0].get("digest", {}).get(algorithm) == value)


def signed_bytes(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed is type and content, each with its length."""
    return b"DSSEv1 %d %s %d %s" % (len(IN_TOTO), IN_TOTO.encode(), len(payload), payload)


def bundle(payload: bytes, sign: Sign, fingerprint: bytes) -> bytes:
    """A Sigstore bundle without transparency log entry, as key-based cosign 3 writes it."""
    envelope = {
        "payload": b64(payload),
        "payloadType": IN_TOTO,
        "signatures": [{"sig": b64(sign(signed_bytes(payload)))}],
    }
    material = {"publicKey": {"hint": b64(fingerprint)}, "tlogEntries": []}
    return oci.canonical(
        {"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope}
    )


def opened(raw: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Payload, signatures and key hint of a bundle. ValueError, KeyError or TypeError if it is none."""
    found = json.loads(raw)
    envelope = found["dsseEnvelope"]
    if envelope["payloadType"] != IN_TOTO:
        raise ValueError(f"its payload is {envelope['payloadType']!r}")
    signatures = [base64.b64decode(one["sig"], validate=True) for one in envelope["signatures"]]
    material = found.get("verificationMaterial") or {}
    hint = (material.get("publicKey") or {}).get("hint", "")
    return base64.b64decode(envelope["payload"], validate=True), signatures, base64.b64decode(hint)


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
