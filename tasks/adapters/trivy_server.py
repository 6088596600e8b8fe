"""A `trivy server` of one's own: it holds the database and what was learnt of layers, for all who scan.

$BAKEWELL_TRIVY_SERVER is its address, $BAKEWELL_TRIVY_TOKEN what it asks for. Images are still read here, so that its
machine needs no credentials of registries.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx
from packaging.version import InvalidVersion, Version

from tasks.adapters.registry_session import is_loopback
from tasks.adapters.trivy_binary import SUPPORTED
from tasks.errors import BakewellError, InvalidInputError, TransientError
from tasks.settings import shown_address

SERVER: Final = "BAKEWELL_TRIVY_SERVER"
TOKEN: Final = "BAKEWELL_TRIVY_TOKEN"
ANSWER_SECONDS: Final = 4.0


@dataclass(frozen=True)
class Answer:
    """What a server says of itself."""

    version: str
    database_updated_at: datetime


def address() -> str:
    """Where it is, or an empty string: none is used. InvalidInputError if that cannot be."""
    said = os.environ.get(SERVER, "").rstrip("/")
    if not said:
        return ""
    try:
        url = httpx.URL(said)
        plain_is_fine = url.scheme == "https" or (
            url.scheme == "http" and is_loopback(url.netloc.decode())
        )
    except (httpx.InvalidURL, UnicodeDecodeError):
        plain_is_fine = False
    if not plain_is_fine:
        raise InvalidInputError(
            f"${SERVER} is {shown_address(said)}; give https://host:port (http:// is for loopback only: the token would be read by all)"
        )
    return said


def environment() -> dict[str, str]:
    """The token as Trivy wants it: never an argument, which everybody on a machine can read, nor in a file."""
    token = os.environ.get(TOKEN, "")
    return {"TRIVY_TOKEN": token} if token and address() else {}


def asked(where: str) -> Answer:
    """TransientError if it does not answer, or has no database; InvalidInputError if its version is not supported."""
    try:
        plain = where.startswith("http://")
        found = httpx.get(f"{where}/version", timeout=ANSWER_SECONDS, trust_env=not plain)
        said = found.raise_for_status().json()
        version = Version(said["Version"])
        moment = said["VulnerabilityDB"]["UpdatedAt"]
        answer = Answer(str(version), datetime.fromisoformat(f"{moment[:19]}+00:00"))
    except (httpx.HTTPError, ValueError, KeyError, TypeError, InvalidVersion) as error:
        raise TransientError(
            f"asked the Trivy server {where} (${SERVER}) for its version and database; it does not answer with them:"
            f" {str(error) or type(error).__name__}; start it, or unset ${SERVER}"
        ) from error
    if version not in SUPPORTED:
        raise InvalidInputError(
            f"the Trivy server {where} (${SERVER}) is version {version}, {SUPPORTED} is supported: update one of the two"
        )
    return answer


def problem() -> str:
    """Why the server that is to be used cannot be; empty if it can, or if none is to be used."""
    try:
        if where := address():
            asked(where)
    except BakewellError as error:
        return str(error)
    return ""
