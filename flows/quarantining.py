"""Quarantining: put something in quarantine, and take it out again. Everything is checked before a line is written."""

import getpass
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from flows.contents import layers_of_base
from flows.quarantine import known
from flows.story import Tone, tell
from flows.verification import artifact_of
from flows.words import moment
from tasks import oci, platforms
from tasks.admit.packages import wanted
from tasks.admit.quarantine import named
from tasks.errors import BakewellError, InvalidInputError, NotFoundError
from tasks.evidence import Quarantine, QuarantineKind
from tasks.journal.rules import (
    EVERY_SERVICE,
    BakedBody,
    EventKind,
    Quarantined,
    QuarantineLifted,
    ReleaseStarted,
    body_of,
    record,
)
from tasks.model import Artifact
from tasks.recipes import named_base

SHORTEST = 6  # hex digits that people copy from `bakewell status`


@dataclass(frozen=True)
class Target:
    """What somebody wants to quarantine. `repository` is where it was said to be, empty where nobody said."""

    kind: QuarantineKind
    what: str
    repository: str = ""


def target_of(what: str, base: str, package: str) -> Target:
    """InvalidInputError unless exactly one of them names something, in the right form."""
    given = [one for one in (what, base, package) if one]
    if len(given) != 1:
        raise InvalidInputError(
            f"asked for {len(given)} things at once; give one of: a digest or reference, --base DIGEST,"
            " --package NAME@VERSION"
        )
    if package:
        wanted(package)
        return Target(QuarantineKind.PACKAGE, package)
    repository, digest = _digest(what or base)
    kind = QuarantineKind.BASE if base else QuarantineKind.ARTIFACT
    return Target(kind, digest, repository)


def add(target: Target, reason: str, until: datetime | None, by: str = "") -> Quarantine:
    """Journal it, under no service: it holds for all. The same again writes nothing."""
    now, said = datetime.now(UTC), reason.strip()
    if not said:
        raise InvalidInputError("asked to quarantine without a reason; say why with --reason")
    if until is not None and until <= now:
        raise InvalidInputError(
            f"asked to quarantine until {moment(until)} UTC, which is over (it is {moment(now)} UTC); give a time to"
            " come, or no --until"
        )
    layers = _layers(target) if target.kind is QuarantineKind.BASE else ()
    _tell_if_unknown(target)
    wished = Quarantine(target.kind, target.what, said, by or getpass.getuser(), now, until, layers)
    for one in known():
        if one.in_force(now) and replace(wished, since=one.since, by=one.by) == one:
            tell("is quarantined already, with the same words", where=target.what)
            return one
    record(platforms.journal(), EVERY_SERVICE, "", "", Quarantined(wished))
    return wished


def lift(target: Target, reason: str, by: str = "") -> Quarantine:
    """The quarantine that is no more. NotFoundError if there is none."""
    if not reason.strip():
        raise InvalidInputError(
            "asked to lift a quarantine without a reason; say why with --reason"
        )
    now, all_known = datetime.now(UTC), known()
    for one in all_known:
        if (one.kind, one.what) == (target.kind, target.what) and one.in_force(now):
            lifted = QuarantineLifted(one.kind, one.what, reason.strip(), by or getpass.getuser())
            record(platforms.journal(), EVERY_SERVICE, "", "", lifted)
            return one
    raise NotFoundError(_not_there(target, all_known, now))


def _not_there(target: Target, all_known: Sequence[Quarantine], now: datetime) -> str:
    about = f"the {target.kind.value} {target.what} is not quarantined"
    over = [one for one in all_known if (one.kind, one.what) == (target.kind, target.what)]
    if over and over[0].until:
        about += f" any more: that ended at {moment(over[0].until)} UTC"
    others = [f"`{named(one)}`" for one in all_known if one.in_force(now)]
    listed = f"in force are {', '.join(others)}" if others else "no quarantine is in force"
    return f"{about}; {listed}"


# ---- what is meant -------------------------------------------------------------------------------


def _digest(said: str) -> tuple[str, str]:
    """Repository and digest of `sha256:…`, `repository@sha256:…`, `service@sha256:…` or `repository:tag`."""
    if oci.is_digest(said):
        return "", said
    if "@" in said:
        found = artifact_of(said)
        oci.hex_of(found.digest)
        return found.repository, found.digest
    repository, colon, tag = said.rpartition(":")
    if colon and "/" in repository and "/" not in tag:
        if digest := platforms.store(repository).resolve(oci.checked_tag(tag)):
            tell(f"is {digest} today; that is quarantined, not the tag", Tone.WARN, where=said)
            return repository, digest
        raise NotFoundError(f"{repository} has no tag {tag!r}; give the digest")
    raise InvalidInputError(
        f"{said!r} is no digest; write `sha256:` and 64 lower-case hex digits, repository@sha256:… or"
        f" repository:tag{_meant(said)}"
    )


def _meant(said: str) -> str:
    """People see short digests."""
    start = said.removeprefix("sha256:").lower()
    digests = {one.digest for one in known_artifacts() if oci.hex_of(one.digest).startswith(start)}
    if len(start) < SHORTEST or not digests:
        return " (`bakewell status --json` shows them)"
    return f". Did you mean {' or '.join(sorted(digests))}?"


def known_artifacts() -> Iterator[Artifact]:
    """Everything that was ever baked or released here."""
    yield from (body.artifact for body in _bodies() if not isinstance(body, Quarantined))


def _bodies() -> Iterator[BakedBody | ReleaseStarted]:
    for event in platforms.journal().events():
        if event.kind in (EventKind.BAKED, EventKind.RELEASE_STARTED):
            body = body_of(event)
            assert isinstance(body, BakedBody | ReleaseStarted), "these are their kinds"
            yield body


def _tell_if_unknown(target: Target) -> None:
    """Whoever hears of a poisoned digest must not have to run it first."""
    if target.kind is QuarantineKind.ARTIFACT and all(
        one.digest != target.what for one in known_artifacts()
    ):
        tell(
            "was never baked or released here; it is quarantined all the same",
            Tone.WARN,
            where=target.what,
        )


def _layers(target: Target) -> tuple[tuple[str, ...], ...]:
    """Of a base, from where it was said to be, else from wherever something was baked on it."""
    for repository in dict.fromkeys(_where(target)):
        try:
            return layers_of_base(repository, target.what)
        except BakewellError as error:
            tell(f"could not be read in {repository}: {error}", Tone.WARN, where=target.what)
    words = "its layers are not known: only what names it as its base will be found; give repository@sha256:… for more"
    tell(words, Tone.WARN, where=target.what)
    return ()


def _where(target: Target) -> Iterator[str]:
    if target.repository:
        yield target.repository
        return
    for body in _bodies():
        if isinstance(body, ReleaseStarted):
            repository, _, digest = named_base(body.spec.bake).rpartition("@")
            if digest == target.what:
                yield repository
        if body.artifact.digest == target.what:
            yield body.artifact.repository
