"""What forges send when somebody has pushed, in our words.

GitHub, Gitea and Forgejo speak alike: https://docs.github.com/webhooks/webhook-events-and-payloads#push,
https://docs.gitea.com/usage/webhooks. GitLab: https://docs.gitlab.com/user/project/integrations/webhook_events/#push-events.
Generic: `{"ref": "refs/heads/main", "after": "<40 hex>", "repository": {"url": "..."}, "pusher": "ada", "paths": [...]}`.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from tasks.errors import InvalidInputError
from tasks.pushes import NO_COMMIT, Forge, Nothing, Push

COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
MAX_WORD: Final = 250
EVENT: Final = {
    Forge.GITHUB: ("x-github-event", "push"),
    Forge.GITLAB: ("x-gitlab-event", "Push Hook"),
    Forge.GITEA: ("x-gitea-event", "push"),
}
DELIVERY: Final = {
    Forge.GITHUB: ("x-github-delivery",),
    Forge.GITLAB: ("webhook-id", "idempotency-key", "x-gitlab-event-uuid"),
    Forge.GITEA: ("x-forgejo-delivery", "x-gitea-delivery"),
    Forge.GENERIC: ("webhook-id", "x-bakewell-delivery"),
}
ADDRESSES: Final = (
    *("clone_url", "ssh_url", "html_url", "git_url", "url"),
    *("git_http_url", "git_ssh_url", "web_url", "git", "homepage"),
)
LISTED_AT_MOST: Final = {Forge.GITHUB: 2048, Forge.GITLAB: 20, Forge.GITEA: 10}
"""Commits that a message lists: with as many, there may have been more."""

Message = Mapping[str, Any]


def push_of(forge: Forge, headers: Mapping[str, str], body: bytes) -> Push | Nothing:
    """`headers` by their names in small letters. InvalidInputError if it is no message of that forge."""
    if forge in EVENT:
        name, wanted = EVENT[forge]
        event = headers.get(name) or _forgejo(headers)
        if event == "System Hook" and forge is Forge.GITLAB:
            event = wanted
        if event != wanted:
            return Nothing(f"{_word(event) or 'a message without event'} is no push of a branch")
    return _push(forge, _message(headers, body), _delivery(forge, headers, body))


def _forgejo(headers: Mapping[str, str]) -> str:
    return headers.get("x-forgejo-event", "")


def _delivery(forge: Forge, headers: Mapping[str, str], body: bytes) -> str:
    """The forge's id of the message; of one without, its content is its id."""
    found = next((headers[one] for one in DELIVERY[forge] if headers.get(one)), "")
    return _word(found) or hashlib.sha256(body).hexdigest()


def _message(headers: Mapping[str, str], body: bytes) -> Message:
    try:
        if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            body = parse_qs(body.decode(), max_num_fields=16)["payload"][0].encode()
        found = json.loads(body)
    except (ValueError, KeyError, RecursionError) as error:
        raise InvalidInputError(
            "the message is no JSON; choose the content type application/json in the forge's settings"
        ) from error
    if not isinstance(found, dict):
        raise InvalidInputError("the message is JSON, but no object; it is no push")
    return found


def _push(forge: Forge, said: Message, delivery: str) -> Push | Nothing:
    ref, commit = said.get("ref"), said.get("after")
    if forge is Forge.GITLAB and said.get("object_kind", "push") != "push":
        return Nothing("it is no push of a branch")
    if not isinstance(ref, str) or not isinstance(commit, str) or not isinstance(_of(said), dict):
        raise InvalidInputError("the message names no `ref`, `after` and repository; it is no push")
    branch = ref.removeprefix("refs/heads/")
    if ref.startswith("refs/") and branch == ref:
        return Nothing(f"{_word(ref)} is no branch")
    if commit in (NO_COMMIT, "0" * 64) or said.get("deleted") is True:
        return Nothing(f"the branch {_word(branch)} was deleted")
    if not COMMIT.fullmatch(commit) or not branch or _word(branch) != branch:
        raise InvalidInputError(
            "its `after` is no full commit, or its branch has no usable name; it is no push"
        )
    return Push(
        delivery, tuple(_addresses(said)), branch, commit, _pusher(said), _paths(forge, said)
    )


def _of(said: Message) -> Any:
    return said.get("project") or said.get("repository")


def _addresses(said: Message) -> Iterator[str]:
    """Under every name: GitLab has a `project` and an old `repository`."""
    for whose in ("project", "repository"):
        found = said.get(whose)
        if isinstance(found, dict):
            yield from (found[name] for name in ADDRESSES if isinstance(found.get(name), str))


def _pusher(said: Message) -> str:
    """A claim: forges let people choose most of it."""
    person = said.get("pusher")
    if isinstance(person, dict):
        person = next((person[one] for one in ("login", "username", "name") if person.get(one)), "")
    found = person or said.get("user_username") or said.get("user_name") or "somebody"
    return _word(found) or "somebody"


def _paths(forge: Forge, said: Message) -> frozenset[str] | None:
    """Every file that a commit of the push added, changed or removed; None if that is not all that happened."""
    if forge is Forge.GENERIC:
        listed = said.get("paths")
        return _texts(listed) if isinstance(listed, list) else None
    commits = said.get("commits")
    total = said.get("total_commits_count", said.get("total_commits"))
    if not isinstance(commits, list) or not commits or said.get("forced") is True:
        return None
    if len(commits) >= LISTED_AT_MOST[forge] or (isinstance(total, int) and total > len(commits)):
        return None
    found: set[str] = set()
    for one in commits:
        parts = [one.get(how) if isinstance(one, dict) else None for how in CHANGES]
        if not all(isinstance(part, list) for part in parts):
            return None
        found.update(*(_texts(part) for part in parts))
    return frozenset(found)


CHANGES: Final = ("added", "modified", "removed")


def _texts(listed: Any) -> frozenset[str]:
    return frozenset(one for one in listed if isinstance(one, str))


def _word(found: Any) -> str:
    """As it may be journalled: printable, and not endless."""
    text = found if isinstance(found, str) else ""
    return "".join(mark for mark in text[:MAX_WORD] if mark.isprintable())
