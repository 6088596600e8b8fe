"""Telling a forge what became of a commit: the mark that people see beside it.

GitHub: https://docs.github.com/rest/commits/statuses. GitLab: https://docs.gitlab.com/api/commits/#set-commit-pipeline-status.
Gitea and Forgejo: `POST /repos/{owner}/{repo}/statuses/{sha}` of their API.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import quote, urlsplit

import httpx

from tasks.adapters.repositories_file import read_secret
from tasks.errors import InvalidInputError, TransientError
from tasks.pushes import CommitStatus, Forge, Repository

SECONDS: Final = 10.0
LONGEST: Final = 140
"""Characters that GitHub takes for a description."""


class Mark(StrEnum):
    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"


GITLAB: Final = {Mark.PENDING: "running", Mark.SUCCESS: "success", Mark.FAILURE: "failed"}


@dataclass(frozen=True)
class Told:
    """Of one service's release of one commit. `said` is a sentence, `link` where more is to be seen (may be empty)."""

    commit: str
    service: str
    mark: Mark
    said: str
    link: str


def tell_forge(repository: Repository, told: Told) -> bool:
    """False if nobody wants to be told. TransientError if the forge did not answer, InvalidInputError if it refused."""
    if (settings := repository.status) is None:
        return False
    url = _url(repository, settings, told.commit)
    try:
        answer = httpx.post(
            url,
            json=_message(repository.forge, told),
            headers=_headers(repository.forge, read_secret(settings.token)),
            timeout=SECONDS,
            verify=url.startswith("https:"),
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise TransientError(
            f"asked {url} to show a status; it did not answer: {str(error) or type(error).__name__}"
        ) from error
    if answer.status_code >= 500 or answer.status_code == 429:
        raise TransientError(f"asked {url} to show a status; it answered {answer.status_code}")
    if answer.status_code >= 300:
        raise InvalidInputError(
            f"asked {url} to show a status; it refused ({answer.status_code}): {answer.text[:200]}; check the token"
            f" in {settings.token} and what it may do"
        )
    return True


def _url(repository: Repository, settings: CommitStatus, commit: str) -> str:
    host, path = _place(repository.url)
    api = settings.api.rstrip("/") or _api(repository.forge, host)
    if repository.forge is Forge.GITLAB:
        return f"{api}/projects/{quote(path, safe='')}/statuses/{commit}"
    return f"{api}/repos/{quote(path)}/statuses/{commit}"


def _api(forge: Forge, host: str) -> str:
    if forge is Forge.GITHUB:
        return "https://api.github.com" if host == "github.com" else f"https://{host}/api/v3"
    return f"https://{host}/api/v4" if forge is Forge.GITLAB else f"https://{host}/api/v1"


def _place(url: str) -> tuple[str, str]:
    """Host (with its port, over http) and `owner/name`."""
    if "://" not in url and ":" in url:
        host, _, path = url.partition(":")
        return host.rpartition("@")[2], path.strip("/").removesuffix(".git")
    parts = urlsplit(url)
    host = parts.netloc if parts.scheme in ("http", "https") else parts.hostname or ""
    return host, parts.path.strip("/").removesuffix(".git")


def _headers(forge: Forge, token: str) -> Mapping[str, str]:
    match forge:
        case Forge.GITLAB:
            return {"PRIVATE-TOKEN": token}
        case Forge.GITHUB:
            return {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
        case _:
            return {"Authorization": f"token {token}"}


def _message(forge: Forge, told: Told) -> Mapping[str, str]:
    said = told.said if len(told.said) <= LONGEST else f"{told.said[: LONGEST - 1]}…"
    link = {"target_url": told.link} if told.link else {}
    name = f"bakewell/{told.service}"
    if forge is Forge.GITLAB:
        return {"state": GITLAB[told.mark], "name": name, "description": said, **link}
    return {"state": told.mark.value, "context": name, "description": said, **link}
