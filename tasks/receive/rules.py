"""Which services of a repository a push concerns, and whether it is that repository's at all. Pure."""

import re
from collections.abc import Sequence
from functools import cache
from urllib.parse import urlsplit

from tasks.pushes import Push, PushedService, Repository


def concerned(push: Push, repository: Repository) -> tuple[PushedService, ...]:
    """In the order of the file. Where the forge does not tell which files changed, every service of the branch is: to
    release once too often does no harm (the same digest rolls nothing), once too rarely nobody notices."""
    return tuple(
        one
        for one in repository.services
        if matches_any(push.branch, one.branches)
        and (push.paths is None or any(_concerns(path, one) for path in push.paths))
    )


def _concerns(path: str, service: PushedService) -> bool:
    folder = service.folder.strip("/").removeprefix("./")
    patterns = service.paths or (("**",) if folder in ("", ".") else (f"{folder}/**",))
    return matches_any(path, patterns)


def matches_any(text: str, patterns: Sequence[str]) -> bool:
    """The last pattern that fits decides; one that begins with `!` takes out again. Only `!` patterns: all but those."""
    found = all(pattern.startswith("!") for pattern in patterns)
    for pattern in patterns:
        if _compiled(pattern.removeprefix("!")).fullmatch(text):
            found = not pattern.startswith("!")
    return found


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """`*` and `?` stay within a folder, `**` does not; `a/**/b` is also `a/b`. Everything else is itself."""
    parts: list[str] = []
    for piece in re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", pattern):
        known = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        parts.append(known.get(piece) or re.escape(piece))
    return re.compile("".join(parts), re.DOTALL)


def is_of(push: Push, repository: Repository) -> bool:
    """Does the forge speak of this repository? A secret alone does not say so: an organisation's hook has one for all."""
    ours = {normal(one) for one in (repository.url, *repository.also)}
    return bool(ours & {normal(one) for one in push.addresses})


def normal(address: str) -> str:
    """`host/path` of any of a repository's addresses: over https, over ssh, with `.git` or without.

    Ports do not count: the same forge has one for https and another for ssh.
    """
    if found := re.fullmatch(r"[\w.-]+@([\w.-]+):/?(?!/)(.+)", address):
        host, path = found[1], found[2]
    else:
        try:
            parts = urlsplit(address)
            host, path = parts.hostname or "", parts.path
        except ValueError:
            return ""
    path = path.strip("/").removesuffix(".git")
    return f"{host}/{path}".lower() if path else ""
