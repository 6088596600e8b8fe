"""Files of keys: written whole or not at all, private ones readable by nobody else; and public keys as PEM."""

import hashlib
import os
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from tasks.errors import InvalidInputError

ALGORITHM = ec.ECDSA(hashes.SHA256())
PREHASHED = ec.ECDSA(Prehashed(hashes.SHA256()))
ADVICE = "use an ECDSA P-256 key, as `cosign generate-key-pair` makes them"


def place(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others in between."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def public_key(pem: bytes, where: str) -> ec.EllipticCurvePublicKey:
    """The ECDSA P-256 key in a PEM. InvalidInputError for anything else; `where` says where it was found."""
    try:
        found = serialization.load_pem_public_key(pem)
    except ValueError as error:
        raise InvalidInputError(
            f"asked for the public key in {where}; found none in PEM ({error}); {ADVICE}"
        ) from error
    if not isinstance(found, ec.EllipticCurvePublicKey) or found.curve.name != "secp256r1":
        raise InvalidInputError(
            f"asked for the public key in {where}; found another kind; {ADVICE}"
        )
    return found


def pem(public: ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def fingerprint(public: ec.EllipticCurvePublicKey) -> bytes:
    """SHA-256 of the public key's DER encoding, as Sigstore bundles hint at it."""
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).digest()
