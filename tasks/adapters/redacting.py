"""What a server says, without what it was told in confidence: some repeat it when they are ill."""

import base64
from collections.abc import Mapping
from typing import Final

HIDDEN: Final = b"(secret)"
SHORTEST: Final = 6
"""To take out every `a` of a text would tell more about a password of one letter than to leave them in."""


def without_secrets(said: bytes, sent: Mapping[str, str]) -> bytes:
    """`said` without the credential in the `Authorization` that was `sent`, neither as it is nor decoded."""
    for secret in _secrets(sent.get("authorization", "")):
        said = said.replace(secret, HIDDEN)
    return said


def _secrets(authorization: str) -> list[bytes]:
    """The longest first: one may be a part of another."""
    scheme, _, credential = authorization.partition(" ")
    found = [credential.encode()]
    if scheme.lower() == "basic":
        found.append(base64.b64decode(credential).partition(b":")[2])
    return sorted((one for one in found if len(one) >= SHORTEST), key=len, reverse=True)
