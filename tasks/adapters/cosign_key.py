"""Private keys in cosign's own file format.

ECDSA P-256; the private key is PKCS#8, sealed by nacl's secretbox with a key from scrypt (sigstore's `encrypted` package,
which `cosign generate-key-pair` writes): cosign signs with our files, we sign with cosign's.
"""

import base64
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from tasks.adapters import key_files
from tasks.adapters.file_lock import locked
from tasks.errors import CorruptError, InvalidInputError, RefusedError

BEGIN: Final = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----"
END: Final = "-----END ENCRYPTED SIGSTORE PRIVATE KEY-----"
SCRYPT: Final = {"N": 65536, "r": 8, "p": 1}


class KeyFiles:
    """`<folder>/<stem>.key` and `<stem>.pub`. `password` seals the private keys; an empty one is cosign's default."""

    def __init__(self, folder: Path, password: bytes = b"") -> None:
        self._folder = folder
        self.password = password
        self._private: dict[str, ec.EllipticCurvePrivateKey] = {}

    @property
    def folder(self) -> Path:
        return self._folder

    def holds(self, stem: str) -> bool:
        """Is there a private key of that name?"""
        return self._path(stem).exists()

    def private(self, stem: str) -> ec.EllipticCurvePrivateKey:
        """RefusedError if there is none, or the password does not open it."""
        if stem not in self._private:
            path = self._path(stem)
            try:
                raw = path.read_bytes()
            except OSError as error:
                raise _no_access(path, error) from error
            self._private[stem] = unsealed(raw, self.password, path)
        return self._private[stem]

    def public(self, stem: str) -> ec.EllipticCurvePublicKey | None:
        """From the .pub file where there is one: that needs no password and no slow scrypt. None if there is no pair."""
        path = self._path(stem).with_suffix(".pub")
        try:
            return key_files.public_key(path.read_bytes(), str(path))
        except FileNotFoundError:
            return self.private(stem).public_key() if self.holds(stem) else None
        except OSError as error:
            raise _no_access(path, error) from error
        except InvalidInputError as error:
            raise CorruptError(
                f"{error}; restore it from a backup, or remove it: it is made again from its .key"
            ) from error

    def make(self, stem: str) -> ec.EllipticCurvePublicKey:
        """A new pair, unless there is one. Under a lock: two first uses at once get one key."""
        return self._within(stem, lambda: ec.generate_private_key(ec.SECP256R1()))

    def keep(self, stem: str, key: ec.EllipticCurvePrivateKey) -> ec.EllipticCurvePublicKey:
        """Store a pair under that name, sealed with the password of this machine."""
        return self._within(stem, lambda: key)

    def _within(
        self, stem: str, new: Callable[[], ec.EllipticCurvePrivateKey]
    ) -> ec.EllipticCurvePublicKey:
        path = self._path(stem)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self._folder / ".lock"):
                if not path.exists():
                    made = new()
                    key_files.place(path, sealed(made, self.password), 0o600)
                    self._private[stem] = made
                public = self.private(stem).public_key()
                if not path.with_suffix(".pub").exists():
                    key_files.place(path.with_suffix(".pub"), key_files.pem(public), 0o644)
        except OSError as error:
            raise _no_access(path, error) from error
        return public

    def _path(self, stem: str) -> Path:
        return self._folder / f"{stem}.key"


def _no_access(path: Path, error: OSError) -> RefusedError:
    return RefusedError(
        f"asked for the key {path}; found {error.strerror or error}; check the disk and who may read there"
    )


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


@lru_cache(maxsize=16)
def unsealed(pem: bytes, password: bytes, path: Path) -> ec.EllipticCurvePrivateKey:
    """The key in a cosign.key file. CorruptError, RefusedError for a wrong password.

    Opened once in a process for the same bytes: stretching a password takes a quarter of a second, by intent.
    """
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
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise RefusedError(f"asked for the key in {path}; it is no ECDSA P-256 key")
    return key


def _stretched(password: bytes, salt: bytes, parameters: Mapping[str, int]) -> bytes:
    n, r, p = parameters["N"], parameters["r"], parameters["p"]
    return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, dklen=32, maxmem=256 * n * r)


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
