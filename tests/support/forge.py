"""A forge as the receiver meets it: signed messages, and a file that names its repositories."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tasks.pushes import Forge

RECORDED: Final = Path(__file__).parent / "recorded" / "pushes"
SECRET: Final = "It's a Secret to Everybody"
VARIABLE: Final = "TEST_WEBHOOK_SECRET"


def recorded(name: str) -> bytes:
    return (RECORDED / f"{name}.json").read_bytes()


def hexed(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def standard(body: bytes, identity: str, at: float, key: bytes) -> dict[str, str]:
    """As https://www.standardwebhooks.com has it."""
    signed = f"{identity}.{at:.0f}.".encode() + body
    mark = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": identity,
        "webhook-timestamp": f"{at:.0f}",
        "webhook-signature": f"v1,bm9wZQ== v1,{mark}",
    }


def signed(forge: Forge, body: bytes, secret: str = SECRET, delivery: str = "") -> dict[str, str]:
    """The headers of that forge, signed with that secret."""
    delivery = delivery or str(uuid.uuid4())
    match forge:
        case Forge.GITHUB:
            return {
                "X-GitHub-Event": "push",
                "X-GitHub-Delivery": delivery,
                "X-Hub-Signature-256": f"sha256={hexed(body, secret)}",
            }
        case Forge.GITLAB:
            return {
                "X-Gitlab-Event": "Push Hook",
                "X-Gitlab-Event-UUID": delivery,
                "X-Gitlab-Token": secret,
            }
        case Forge.GITEA:
            return {
                "X-Gitea-Event": "push",
                "X-GitHub-Event": "push",
                "X-Gitea-Delivery": delivery,
                "X-Gitea-Signature": hexed(body, secret),
            }
        case Forge.GENERIC:
            return {
                "X-Bakewell-Delivery": delivery,
                "X-Bakewell-Signature": f"sha256={hexed(body, secret)}",
            }


def standardly(body: bytes, seconds_ago: float = 0.0, secret: str = SECRET) -> dict[str, str]:
    at = time.time() - seconds_ago
    return {"X-Gitlab-Event": "Push Hook", **standard(body, "msg_1", at, secret.encode())}


def generic_push(
    url: str, commit: str, branch: str = "main", paths: list[str] | None = None
) -> bytes:
    """What a hook of one's own would send."""
    said: dict[str, Any] = {
        "ref": f"refs/heads/{branch}",
        "after": commit,
        "repository": {"url": url},
        "pusher": "ada",
    }
    return json.dumps(said if paths is None else said | {"paths": paths}).encode()


def repositories_yaml(file: Path, *repositories: Mapping[str, Any]) -> Path:
    """JSON is YAML."""
    file.write_text(json.dumps({"repositories": [dict(one) for one in repositories]}))
    return file


def repository(
    name: str = "shop",
    url: str = "https://git.example.org/team/shop.git",
    forge: Forge = Forge.GENERIC,
    **more: Any,
) -> dict[str, Any]:
    services = [{"service": "cart", "folder": "cart"}]
    told = {"name": name, "url": url, "forge": forge.value, "secret": {"variable": VARIABLE}}
    return {**told, "services": services, **more}
