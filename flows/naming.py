"""Which artifact a person means: by digest, by its release, or as what runs. Pure but for the home's address."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flows.verification import artifact_of
from tasks.errors import InvalidInputError, NotFoundError
from tasks.journal.rules import State
from tasks.model import Artifact

RELEASE: Final = re.compile(r"r\d+")
FORMS: Final = (
    "repository@sha256:…, service@sha256:…, `service r7` for a release, or `service` for what runs"
)


@dataclass(frozen=True)
class Wanted:
    """One artifact as it was named; of three forms. Empty `release`: what runs."""

    reference: str
    service: str = ""
    release: str = ""


def wanted(words: Sequence[str]) -> tuple[Wanted, ...]:
    """`hello r3` is one, `hello r3 r4` are two of one service, and so are `hello@sha256:… hello`."""
    found: list[Wanted] = []
    service, used = "", True
    for word in words:
        if RELEASE.fullmatch(word):
            if not service:
                raise InvalidInputError(
                    f"{word} is a release, but of which service? Name an artifact as {FORMS}"
                )
            found.append(Wanted(f"{service} {word}", service, word))
            used = True
            continue
        if not used:
            found.append(Wanted(service, service))
        service, used = ("", True) if "@" in word else (word, False)
        if "@" in word:
            found.append(Wanted(word))
    if not used:
        found.append(Wanted(service, service))
    return tuple(found)


def artifact_named(one: Wanted, state: State) -> Artifact:
    """InvalidInputError, NotFoundError: with what can be named instead."""
    if not one.service:
        return _by_digest(one.reference, state)
    releases = {
        name: each for (owner, name), each in state.releases.items() if owner == one.service
    }
    if not releases:
        raise NotFoundError(
            f"{one.service!r} was never released here; name an artifact as {FORMS} (`bakewell status` lists services)"
        )
    if not one.release:
        return _what_runs(one.service, state)
    if one.release not in releases:
        raise NotFoundError(
            f"{one.service} has no release {one.release}; it has {', '.join(list(releases)[-5:])}"
            f" (`bakewell history {one.service}`)"
        )
    return releases[one.release].artifact


def _by_digest(reference: str, state: State) -> Artifact:
    """The journal knows in which registry a service's artifacts are; the embedded store is the default."""
    name, _, digest = reference.rpartition("@")
    known = [
        each.artifact
        for (service, _), each in state.releases.items()
        if service == name and each.artifact.digest == digest
    ]
    return known[-1] if known else artifact_of(reference)


def _what_runs(service: str, state: State) -> Artifact:
    places = {
        name: place.stable.artifact
        for (owner, name), place in state.environments.items()
        if owner == service and place.stable
    }
    if not places:
        raise InvalidInputError(
            f"nothing of {service} runs; name a release: `{service} r1`, as `bakewell history {service}` lists them"
        )
    if len({one.digest for one in places.values()}) > 1:
        told = ", ".join(f"{service}@{one.digest} in {name}" for name, one in places.items())
        raise InvalidInputError(
            f"{service} runs more than one artifact: {told}; name one of them, or a release"
        )
    return next(iter(places.values()))
