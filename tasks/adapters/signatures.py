"""Is a webhook's message from who holds the secret? Over the raw bytes, compared in constant time.

GitHub: https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries. GitLab: its secret token, or, where the
hook has a signing token, Standard Webhooks (https://www.standardwebhooks.com). Gitea and Forgejo: HMAC-SHA256 in hex. Ours, for
everybody else: the same as GitHub's, in `X-Bakewell-Signature`.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from tasks.pushes import Forge

STALE_SECONDS: Final = 300.0
"""Standard Webhooks: a message signed longer ago, or as far in the future, is not believed."""

STANDARD: Final = "webhook-signature"


def is_signed(
    forge: Forge, headers: Mapping[str, str], body: bytes, secret: str, now: datetime
) -> bool:
    """`headers` by their names in small letters."""
    match forge:
        case Forge.GITHUB:
            return _prefixed(headers.get("x-hub-signature-256", ""), body, secret)
        case Forge.GITLAB if STANDARD in headers:
            return _standard(headers, body, secret, now)
        case Forge.GITLAB:
            return _same(headers.get("x-gitlab-token", ""), secret)
        case Forge.GITEA:
            given = headers.get("x-forgejo-signature") or headers.get("x-gitea-signature", "")
            return _same(given, _hex(body, secret))
        case Forge.GENERIC if STANDARD in headers:
            return _standard(headers, body, secret, now)
        case Forge.GENERIC:
            return _prefixed(headers.get("x-bakewell-signature", ""), body, secret)


def _prefixed(given: str, body: bytes, secret: str) -> bool:
    return _same(given, f"sha256={_hex(body, secret)}")


def _hex(body: bytes, secret: str) -> str:
    return hmac.new(_bytes(secret), body, hashlib.sha256).hexdigest()


def _same(given: str, wanted: str) -> bool:
    """Headers may hold anything: compared as bytes, which `compare_digest` takes whatever they are."""
    return bool(wanted) and hmac.compare_digest(_bytes(given), _bytes(wanted))


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _standard(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> bool:
    """`v1,<base64>` over `id.timestamp.body`; there may be several, while a secret is changed."""
    identity, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not moment.isascii() or not moment.isdigit() or len(moment) > 12:
        return False
    if abs(now.timestamp() - int(moment)) > STALE_SECONDS:
        return False
    signed = b".".join((_bytes(identity), moment.encode(), body))
    right = base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode()
    given = headers[STANDARD].split()
    return any(_same(one, f"v1,{right}") for one in given)


def _key(secret: str) -> bytes:
    """`whsec_` says that base64 follows; any other secret is its own bytes."""
    if not secret.startswith("whsec_"):
        return _bytes(secret)
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        return _bytes(secret)
