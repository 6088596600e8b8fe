"""User and password for a registry, as `docker login` left them in Docker's config.json or a credential helper."""

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.errors import RefusedError, TransientError

HELPER_SECONDS = 20
HUB = "https://index.docker.io/v1/"
IDENTITY_TOKEN_USER = "<token>"


def credentials_for(repository: str, config: Path | None = None) -> tuple[str, str] | None:
    """For `host[:port]/name`; None if nobody logged in there. `config` defaults to $DOCKER_CONFIG or ~/.docker."""
    host = repository.partition("/")[0]
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    found = _read(config or folder / "config.json")
    helper = (found.get("credHelpers") or {}).get(host)
    if helper is None and (stored := _stored(found.get("auths") or {}, host)):
        return stored
    helper = helper or found.get("credsStore")
    return _from_helper(helper, HUB if host == "docker.io" else host) if helper else None


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RefusedError(
            f"asked for registry credentials in {path}; it cannot be read as JSON ({error}); mend it"
        ) from error
    return value if isinstance(value, dict) else {}


def _stored(auths: Mapping[str, Any], host: str) -> tuple[str, str] | None:
    keys = [host, f"https://{host}", f"https://{host}/v1/", f"https://{host}/v2/", f"http://{host}"]
    keys += [HUB] if host == "docker.io" else []
    entry = next((auths[key] for key in keys if key in auths), None) or {}
    if entry.get("identitytoken"):
        raise _identity_token(host)
    if not entry.get("auth"):
        return None
    try:
        user, colon, password = base64.b64decode(entry["auth"]).decode().partition(":")
    except ValueError:
        colon = ""
    if not colon:
        raise RefusedError(
            f"asked for the credentials of {host}; Docker's config.json holds something else than base64 of "
            f"user:password; run `docker login {host}` again"
        )
    return user, password


def _from_helper(helper: str, host: str) -> tuple[str, str] | None:
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, "get"],
            check=False,
            input=host,
            capture_output=True,
            text=True,
            timeout=HELPER_SECONDS,
        )
    except FileNotFoundError as error:
        raise RefusedError(
            f"asked for the credentials of {host}; Docker's config.json names the helper {program}, which is not "
            "installed; install it, or run `docker login` without it"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise TransientError(
            f"asked {program} for the credentials of {host}; no answer in {HELPER_SECONDS} s"
        ) from error
    if done.returncode:
        if "credentials not found" in done.stdout + done.stderr:
            return None
        raise _helper_failed(program, host, done.stdout + done.stderr)
    entry = json.loads(done.stdout)
    if entry["Username"] == IDENTITY_TOKEN_USER:
        raise _identity_token(host)
    return entry["Username"], entry["Secret"]


def _helper_failed(program: str, host: str, said: str) -> RefusedError:
    return RefusedError(
        f"asked {program} for the credentials of {host}; it failed: {said.strip()[:200]}; try it by hand"
    )


def _identity_token(host: str) -> RefusedError:
    return RefusedError(
        f"asked for the credentials of {host}; found an identity token, which is not supported; log in with a user and "
        "a password or access token"
    )
