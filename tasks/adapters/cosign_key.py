"""Keys of this machine in cosign's own file format, made on first use: one for each role.

ECDSA P-256; the private key is PKCS#8, sealed by nacl's secretbox with a key from scrypt (sigstore's `encrypted` package,
which `cosign generate-key-pair` writes): cosign signs with our files, we sign with cosign's.
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from tasks.adapters.file_lock import locked
from tasks.errors import CorruptError, RefusedError
from tasks.evidence import KeyRole

BEGIN: Final = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----"
END: Final = "-----END ENCRYPTED SIGSTORE PRIVATE KEY-----"
SCRYPT: Final = {"N": 65536, "r": 8, "p": 1}
ALGORITHM: Final = ec.ECDSA(hashes.SHA256())


class LocalKeys:
    """`<folder>/<role>.key` and `<role>.pub`. `password` seals the private keys; an empty one is cosign's default."""

    def __init__(self, folder: Path, password: bytes = b"") -> None:
        self._folder = folder
        self._password = password
        self._private: dict[KeyRole, ec.EllipticCurvePrivateKey] = {}

    def sign(self, role: KeyRole, message: bytes) -> bytes:
        """DER-encoded ECDSA signature over the SHA-256 of the message."""
        return self._key(role).sign(message, ALGORITHM)

    def verifies(self, role: KeyRole, signature: bytes, message: bytes) -> bool:
        """Did the holder of this role's key sign this message?"""
        try:
            self._public(role).verify(signature, message, ALGORITHM)
        except InvalidSignature:
            return False
        return True

    def public_pem(self, role: KeyRole) -> bytes:
        """For `cosign verify --key`."""
        return _pem(self._public(role))

    def fingerprint(self, role: KeyRole) -> bytes:
        """SHA-256 of the public key's DER encoding, as Sigstore bundles hint at it."""
        public = self._public(role)
        der = public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return hashlib.sha256(der).digest()

    def trust(self) -> str:
        """64 hex digits that change with any of the keys."""
        return hashlib.sha256(b"".join(map(self.fingerprint, KeyRole))).hexdigest()

    def _public(self, role: KeyRole) -> ec.EllipticCurvePublicKey:
        """From the .pub file where there is one: that needs no password and no slow scrypt."""
        path = self._folder / f"{role.value}.pub"
        try:
            found = serialization.load_pem_public_key(path.read_bytes())
        except FileNotFoundError:
            return self._key(role).public_key()
        except (OSError, ValueError) as error:
            raise CorruptError(
                f"asked for the public key in {path}; found {error}; restore it from a backup, or remove it and its .key to"
                " make new ones (what the old ones have signed will then be refused)"
            ) from error
        if not isinstance(found, ec.EllipticCurvePublicKey):
            raise RefusedError(f"asked for the public key in {path}; it is no ECDSA key")
        return found

    def _key(self, role: KeyRole) -> ec.EllipticCurvePrivateKey:
        if role not in self._private:
            self._private[role] = self._read_or_make(role)
        return self._private[role]

    def _read_or_make(self, role: KeyRole) -> ec.EllipticCurvePrivateKey:
        """Under a lock: two first uses at once get one key."""
        path = self._folder / f"{role.value}.key"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self._folder / ".lock"):
                if path.exists():
                    key = unsealed(path.read_bytes(), self._password, path)
                else:
                    key = ec.generate_private_key(ec.SECP256R1())
                    _place(path, sealed(key, self._password), 0o600)
                if not path.with_suffix(".pub").exists():
                    _place(path.with_suffix(".pub"), _pem(key.public_key()), 0o644)
        except OSError as error:
            raise RefusedError(
                f"asked for the key {path}; found {error.strerror or error}; check the disk and who may read there"
            ) from error
        return key


def sealed(key: ec.EllipticCurvePrivateKey, password: bytes) -> bytes:
    """The private key as cosign writes it to cosign.key."""
    der = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    salt, nonce = os.urandom(32), os.urandom(SecretBox.NONCE_SIZE)
    box = SecretBox(_stretched(password, salt, SCRYPT))
    content = {
        "kdf": {"name": "scrypt", "params": SCRYPT, "salt": _b64(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": _b64(nonce)},
        "ciphertext": _b64(box.encrypt(der, nonce).ciphertext),
    }
    body = _b64(json.dumps(content).encode())
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join([BEGIN, *lines, END, ""]).encode()


def unsealed(pem: bytes, password: bytes, path: Path) -> ec.EllipticCurvePrivateKey:
    """The key in a cosign.key file. CorruptError, RefusedError for a wrong password."""
    try:
        lines = [line for line in pem.splitlines() if line and not line.startswith(b"-----")]
        content: dict[str, Any] = json.loads(base64.b64decode(b"".join(lines)))
        kdf, cipher = content["kdf"], content["cipher"]
        if (kdf["name"], cipher["name"]) != ("scrypt", "nacl/secretbox"):
            raise ValueError(f"it is sealed by {kdf['name']} and {cipher['name']}")
        stretched = _stretched(password, base64.b64decode(kdf["salt"]), kdf["params"])
        nonce, text = (base64.b64decode(part) for part in (cipher["nonce"], content["ciphertext"]))
        key = serialization.load_der_private_key(SecretBox(stretched).decrypt(text, nonce), None)
    except CryptoError as error:
        raise RefusedError(
            f"asked for the key in {path}; the password does not open it; set COSIGN_PASSWORD to the one it was made with"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptError(
            f"asked for the key in {path}; it is no cosign key: {error}; restore it from a backup"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise RefusedError(f"asked for the key in {path}; it is no ECDSA key")
    return key


def _stretched(password: bytes, salt: bytes, parameters: Mapping[str, int]) -> bytes:
    n, r, p = parameters["N"], parameters["r"], parameters["p"]
    return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, dklen=32, maxmem=256 * n * r)


def _place(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others in between."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _pem(public: ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
