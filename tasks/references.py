"""References of base images: by digest, and by the tag that a rebuild follows. Pure.

`registry/base:12@sha256:…` is baked from the digest, whatever the tag says; the weekly rebuild asks what the tag stands for now.
A reference without a tag follows nothing.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

LAYOUT: Final = "layout:"
TAG: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_TAG = re.compile(TAG)


@dataclass(frozen=True)
class Reference:
    """`tag` is empty where none is written; `repository` is as it is written (`layout:` may be relative)."""

    repository: str
    tag: str
    digest: str


@dataclass(frozen=True)
class BaseUsed:
    """One base that can be followed: as `written` in service.yaml or the Dockerfile, where its tag is kept (an address that
    holds anywhere on this machine), and the `digest` that was baked on: what is written, or what its tag had moved to."""

    written: str
    repository: str
    tag: str
    digest: str

    @property
    def place(self) -> str:
        """What is asked for the newest digest."""
        return f"{self.repository}:{self.tag}"

    @property
    def was_followed(self) -> bool:
        return not self.written.endswith(f"@{self.digest}")


def parse_reference(written: str) -> Reference:
    """Of `repository[:tag]@digest`; a colon before a slash is a port's."""
    name, _, digest = written.rpartition("@")
    head, colon, tag = name.rpartition(":")
    if not colon or f"{head}:" == LAYOUT or not _TAG.fullmatch(tag):
        return Reference(name, "", digest)
    return Reference(head, tag, digest)


def by_digest(written: str) -> str:
    """`repository@digest`, as everything but a rebuild means it; what has no digest (`scratch`) as it is."""
    if "@" not in written:
        return written
    found = parse_reference(written)
    return f"{found.repository}@{found.digest}"


def at_digest(written: str, followed: Mapping[str, str]) -> str:
    """The same reference, at the digest that is followed instead of what is written."""
    digest = followed.get(written)
    return f"{written.rpartition('@')[0]}@{digest}" if digest else written


def follow(used: Iterable[BaseUsed]) -> dict[str, str]:
    """What a bake has to be told so that it stands on the same bases: digests by reference as written. Where Git names
    another digest since, the reference is another, too, and nothing is followed any more."""
    return {one.written: one.digest for one in used if one.was_followed}


def promoted_tag(service: str) -> str:
    """The tag that stands for what was last promoted in all environments: others can bake on it, and follow it."""
    return f"{service}-promoted"
