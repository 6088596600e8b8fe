"""Keys that never leave AWS KMS: their public half is read once and kept in trusted.yaml, signatures are asked for.

Credentials, region and endpoint are boto3's own affair; only an ARN names its region itself. The digest is sent, not the
message: KMS takes at most 4,096 bytes of that, and an SBOM has more. What comes back is DER, as cosign wants it.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import boto3
from botocore import exceptions
from botocore.config import Config
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tasks.adapters import key_files
from tasks.errors import (
    BakewellError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    TransientError,
)

ALGORITHM: Final = "ECDSA_SHA_256"
PATIENCE: Final = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 3})
BUSY: Final = {
    "ThrottlingException",
    "LimitExceededException",
    "KMSInternalException",
    "DependencyTimeoutException",
    "KeyUnavailableException",
    "ServiceUnavailableException",
    "InternalFailure",
}
NO_ANSWER: Final = (
    exceptions.ConnectionError,
    exceptions.HTTPClientError,
    exceptions.CredentialRetrievalError,
)


class KmsKeys:
    """Asks KMS; one client for each region."""

    def __init__(self) -> None:
        self._clients: dict[str, Any] = {}

    def sign(self, key: str, message: bytes) -> bytes:
        """DER-encoded ECDSA signature over the SHA-256 of the message, by the key of that ARN, id or alias."""
        with _translated(f"a signature by the KMS key {key}"):
            answer = self._client(key).sign(
                KeyId=key,
                Message=hashlib.sha256(message).digest(),
                MessageType="DIGEST",
                SigningAlgorithm=ALGORITHM,
            )
        return bytes(answer["Signature"])

    def public(self, key: str) -> tuple[str, ec.EllipticCurvePublicKey]:
        """The key's ARN, and its public half. An alias may point elsewhere tomorrow, the ARN does not."""
        with _translated(f"the public half of the KMS key {key}"):
            answer = self._client(key).get_public_key(KeyId=key)
        found = serialization.load_der_public_key(answer["PublicKey"])
        usable = answer.get("KeyUsage") == "SIGN_VERIFY"
        if not usable or not isinstance(found, ec.EllipticCurvePublicKey):
            raise _wrong_kind(key, answer)
        if found.curve.name != "secp256r1":
            raise _wrong_kind(key, answer)
        return str(answer["KeyId"]), found

    def _client(self, key: str) -> Any:
        parts = key.split(":")
        region = parts[3] if key.startswith("arn:") and len(parts) > 3 else ""
        if region not in self._clients:
            self._clients[region] = boto3.Session().client(
                "kms", region_name=region or None, config=PATIENCE
            )
        return self._clients[region]


def _wrong_kind(key: str, answer: Any) -> InvalidInputError:
    return InvalidInputError(
        f"asked for the KMS key {key}; it is {answer.get('KeySpec')} for {answer.get('KeyUsage')}; {key_files.ADVICE}: in"
        " KMS that is KeySpec ECC_NIST_P256, KeyUsage SIGN_VERIFY"
    )


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except exceptions.ClientError as error:
        raise _said(what, error.response.get("Error", {})) from error
    except NO_ANSWER as error:
        raise TransientError(
            f"asked for {what}; KMS did not answer ({error}); check the network, then try again"
        ) from error
    except (exceptions.BotoCoreError, ValueError) as error:
        raise RefusedError(
            f"asked for {what}; found {error}; check boto3's configuration (credentials, region, endpoint)"
        ) from error


def _said(what: str, error: dict[str, Any]) -> BakewellError:
    code = str(error.get("Code", ""))
    found = f"asked for {what}; KMS says {code}: {error.get('Message', '')}".rstrip(": ")
    if code in BUSY:
        return TransientError(f"{found}; try again later")
    if code == "NotFoundException":
        return NotFoundError(f"{found}; check the ARN, the region and the account")
    return RefusedError(f"{found}; ask who runs the account (kms:Sign and kms:GetPublicKey)")
