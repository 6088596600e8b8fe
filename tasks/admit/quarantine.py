"""Does a quarantine hold this artifact? Pure: what is in force and what the artifact is made of in, hits out.

What could not be read is no proof of absence: it is a hit of its own, and refuses as well.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from tasks.admit.contents import stands_on
from tasks.admit.packages import contains, wanted
from tasks.evidence import Ground, Package, Quarantine, QuarantineKind

UNREAD: Final = "it could not be read"


class Certainty(StrEnum):
    """Of a hit."""

    HELD = "held"
    COULD_NOT_TELL = "could not tell"


@dataclass(frozen=True)
class Contents:
    """What an artifact is made of, as far as could be read.

    `bases` are digests it was built from, `layers` its diff ids, lowest first. None: they could not be read, and what ends
    in `_unread` says why. `bases_unread`: they are not all known (a base's own base).
    """

    digest: str
    bases: frozenset[str] = frozenset()
    layers: tuple[str, ...] | None = ()
    packages: frozenset[Package] | None = frozenset()
    bases_unread: str = ""
    layers_unread: str = ""
    packages_unread: str = ""


@dataclass(frozen=True)
class Hit:
    """One quarantine that concerns an artifact, and why, as the end of `… because`."""

    quarantine: Quarantine
    certainty: Certainty
    why: str


def hits(quarantines: Iterable[Quarantine], inside: Contents, now: datetime) -> tuple[Hit, ...]:
    """Every quarantine in force that holds the artifact, or of which that could not be told; certain ones first."""
    found = (_hit(one, inside) for one in quarantines if one.in_force(now))
    return tuple(
        sorted(
            (hit for hit in found if hit is not None),
            key=lambda hit: hit.certainty is not Certainty.HELD,
        )
    )


def grounds(found: Iterable[Hit]) -> tuple[Ground, ...]:
    """Of the refusal: each with who, why, until when and the way out. Empty if nothing holds it."""
    return tuple(Ground("quarantine", one.quarantine.what, refusal(one)) for one in found)


def refusal(hit: Hit) -> str:
    """Asked, found, next: in a sentence without the full stop."""
    return f"{held(hit)}; {way_out(hit)}"


def held(hit: Hit) -> str:
    """`it is quarantined since …`, or that nobody could tell."""
    one = hit.quarantine
    end = f"until {_moment(one.until)}" if one.until else "until that is lifted"
    terms = f"by {one.by} since {_moment(one.since)}, {end}: {one.reason}"
    if hit.certainty is Certainty.HELD:
        return f"it is quarantined, because {hit.why} ({terms})"
    return (
        f"nobody could tell whether the quarantine of the {one.kind.value} {one.what} holds it, because"
        f" {hit.why} ({terms})"
    )


def way_out(hit: Hit) -> str:
    lift = f"`bakewell quarantine lift {named(hit.quarantine)} --reason …`"
    if hit.certainty is Certainty.HELD:
        return f"release a version without it, or {lift}"
    return f"release it again, so that its evidence is complete, or {lift}"


def named(quarantine: Quarantine) -> str:
    """As the command takes it: `sha256:…`, `--base sha256:…`, `--package name@version`."""
    kind, what = quarantine.kind, quarantine.what
    return what if kind is QuarantineKind.ARTIFACT else f"--{kind.value} {what}"


def _hit(one: Quarantine, inside: Contents) -> Hit | None:
    match one.kind:
        case QuarantineKind.ARTIFACT:
            why = "its digest is" if one.what == inside.digest else ""
            return Hit(one, Certainty.HELD, why) if why else None
        case QuarantineKind.BASE:
            return _by_base(one, inside)
        case QuarantineKind.PACKAGE:
            return _by_package(one, inside)


def _by_base(one: Quarantine, inside: Contents) -> Hit | None:
    """With the base's layers known, the artifact's own decide; without them only its word, and that of its bases."""
    if one.what == inside.digest:
        return Hit(one, Certainty.HELD, f"it is the base {one.what} itself")
    if one.what in inside.bases:
        return Hit(one, Certainty.HELD, f"it was built from {one.what}")
    if inside.layers is None:
        return Hit(one, Certainty.COULD_NOT_TELL, inside.layers_unread or UNREAD)
    if any(stands_on(inside.layers, base) for base in one.layers):
        return Hit(one, Certainty.HELD, f"its layers begin with those of {one.what}")
    if not any(one.layers) and inside.bases_unread:
        return Hit(one, Certainty.COULD_NOT_TELL, inside.bases_unread)
    return None


def _by_package(one: Quarantine, inside: Contents) -> Hit | None:
    if inside.packages is None:
        return Hit(one, Certainty.COULD_NOT_TELL, inside.packages_unread or UNREAD)
    about = wanted(one.what)
    found = sorted(package for package in inside.packages if contains(package, about))
    if not found:
        return None
    return Hit(one, Certainty.HELD, f"it contains {found[0].name} {found[0].version}".rstrip())


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
