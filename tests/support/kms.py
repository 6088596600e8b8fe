"""An AWS KMS in this process (moto), asked by the real boto3: ECC_NIST_P256 keys that sign digests, as the real one does."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from moto import mock_aws
from moto.kms import utils
from moto.kms.responses import KmsResponse

DIGEST_BYTES = 32
REGION = "eu-central-1"


@contextmanager
def running_kms() -> Iterator[Any]:
    """A client of it. Where moto 5.2.5 differs from the real one it is mended: it hashes digests again."""
    hashing = utils.ECDSAPrivateKey.sign

    def sign(self: Any, message: bytes, algorithm: str) -> bytes:
        if len(message) == DIGEST_BYTES:
            return bytes(self.private_key.sign(message, ec.ECDSA(Prehashed(hashes.SHA256()))))
        return bytes(hashing(self, message, algorithm))

    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name, value in {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
        }.items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        patch.setattr(utils.ECDSAPrivateKey, "sign", sign)
        patch.setattr(KmsResponse, "get_public_key", _with_arn(KmsResponse.get_public_key))
        yield boto3.client("kms")


def _with_arn(answered: Callable[[Any], str]) -> Callable[[Any], str]:
    """The real one answers with the key's ARN, whatever it was asked by (API reference, GetPublicKey: KeyId)."""

    def get_public_key(self: Any) -> str:
        answer = json.loads(answered(self))
        described = self.kms_backend.describe_key(self._get_param("KeyId"))
        return json.dumps({**answer, "KeyId": described.arn})

    return get_public_key


def make_key(kms: Any, spec: str = "ECC_NIST_P256", usage: str = "SIGN_VERIFY") -> str:
    """Its ARN."""
    return str(kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["Arn"])
