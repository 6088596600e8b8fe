"""Which services are stale, and why. Pure.

A rebuild bakes the same commit again. Three things can make it worth that: a base that is followed has moved; building anew can
bring a fix for what its bill of materials holds; it is older than the policy allows. And one thing more: another service that
it stands on, and follows, is rebuilt. What a rebuild cannot bring is told, and is no reason.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tasks.evidence import Finding, FindingKind, Severity
from tasks.policy import RebuildRule
from tasks.rebuild.ancestry import parents_of
from tasks.rebuild.order import in_order
from tasks.references import BaseUsed
from tasks.stale import Stale

SHOWN = 3
"""So many vulnerabilities are named in a reason."""


@dataclass(frozen=True)
class BaseNow:
    """A base that is followed, and what its tag stands for now (empty: nobody could tell, `unread` says why).

    `seen_since`: when that digest was first seen here. `maker`: the service that made it here, if one did, and whether it is
    still good where that service runs (`is_vetted`).
    """

    used: BaseUsed
    digest: str
    seen_since: datetime | None = None
    unread: str = ""
    maker: str = ""
    is_vetted: bool = True


@dataclass(frozen=True)
class Standing:
    """What is known of a service that runs: its artifact, what it stands on, what the newest scan says of it.

    `layers`: diff ids, lowest first. `made`: digests that ever were its artifacts. `renewed_at`: when it was last baked, or
    last found to be what a bake gives. `fetches`: building it anew may fetch other things than it did before. `unscanned`: why
    there is no scan. `min_age`: how long a base digest must have been known before it is followed.
    """

    service: str
    release: str
    digest: str
    layers: tuple[str, ...]
    made: frozenset[str]
    bases: tuple[BaseNow, ...]
    findings: tuple[Finding, ...]
    renewed_at: datetime
    fetches: bool
    rule: RebuildRule
    min_age: timedelta = timedelta()
    trusted: tuple[str, ...] = ()
    unscanned: str = ""

    @property
    def fixable(self) -> tuple[Finding, ...]:
        """Vulnerabilities that a newer version mends, worst first, of the severities that count for it."""
        counted = [
            one
            for one in self.findings
            if one.kind is FindingKind.VULNERABILITY
            and one.fixed_version
            and one.severity in self.rule.fixes
        ]
        return tuple(sorted(counted, key=lambda one: (-rank(one.severity), one.id)))


@dataclass(frozen=True)
class Plan:
    """`stale`: in the order in which they are rebuilt. `notes`: what no rebuild changes, and what could not be told, each a
    sentence that names its service."""

    stale: tuple[Stale, ...]
    notes: tuple[str, ...]


def rank(severity: Severity) -> int:
    return tuple(Severity).index(severity)


def plan(services: Sequence[Standing], now: datetime, only: str = "") -> Plan:
    """Everything that is stale, and everything that follows it. `only`: this service alone, with what it stands on.

    InvalidInputError, naming them, if services stand on each other in a circle.
    """
    parents = parents_of({one.service: (one.layers, one.made, _named(one)) for one in services})
    reasons = {one.service: list(_reasons(one, now)) for one in services}
    _inherit(services, parents, reasons)
    known = {one.service: one for one in services}
    stale = {name for name, why in reasons.items() if why}
    if only:
        stale &= _with_parents(only, parents)
    told = [_stale(known[name], reasons[name], parents[name] & stale) for name in stale]
    worst = {
        one.service: -max((rank(each.severity) for each in one.fixable), default=-1)
        for one in services
    }
    notes = [note for one in services for note in _notes(one, now)]
    return Plan(in_order(told, worst), tuple(sorted(notes)))


def followed(standing: Standing, now: datetime) -> dict[str, str]:
    """What the bake is told to stand on: the newest digest of each base that may be followed, else the one it has."""
    found = {}
    for base in standing.bases:
        digest = base.digest if has_moved(base, standing, now) else base.used.digest
        if not base.used.written.endswith(f"@{digest}"):
            found[base.used.written] = digest
    return found


def has_moved(base: BaseNow, standing: Standing, now: datetime) -> bool:
    """Does its tag stand for another digest that may be baked on today?"""
    return _is_other(base) and not _held_back(base, standing, now)


def _is_other(base: BaseNow) -> bool:
    return bool(base.digest) and base.digest != base.used.digest


def _held_back(base: BaseNow, standing: Standing, now: datetime) -> str:
    """Why its newest digest is not followed yet; empty if it is. What a service here made has passed its own gates."""
    if base.maker:
        return "" if base.is_vetted else f"{base.maker} was taken back from it"
    if base.digest in standing.trusted:
        return ""
    since = base.seen_since or now
    if now - since < standing.min_age:
        return f"it may be followed from {since + standing.min_age:%Y-%m-%d %H:%M} UTC on"
    return ""


def _reasons(one: Standing, now: datetime) -> Iterator[str]:
    for base in one.bases:
        if has_moved(base, one, now):
            yield f"its base {base.used.place} moved to {_short(base.digest)}"
    if one.fetches and one.fixable:
        yield f"building it anew can mend {_named_findings(one.fixable)}"
    limit = one.rule.max_age_days
    if limit is not None and now - one.renewed_at > timedelta(days=limit):
        yield f"it was baked {(now - one.renewed_at).days} days ago, allowed are {limit:g}"


def _notes(one: Standing, now: datetime) -> Iterator[str]:
    for base in one.bases:
        if base.unread:
            yield f"{one.service}: what {base.used.place} is now could not be told: {base.unread}"
        elif _is_other(base) and (why := _held_back(base, one, now)):
            yield f"{one.service}: {base.used.place} moved to {_short(base.digest)}; {why}"
    if one.unscanned:
        yield f"{one.service}: whether there are fixes could not be told: {one.unscanned}"
    if one.fixable and not one.fetches and not any(has_moved(base, one, now) for base in one.bases):
        yield (
            f"{one.service}: no rebuild of this commit mends {_named_findings(one.fixable)}: raise it where it is locked,"
            " or name a newer base"
        )


def _inherit(
    services: Sequence[Standing],
    parents: Mapping[str, frozenset[str]],
    reasons: Mapping[str, list[str]],
) -> None:
    """Whoever follows a service that is rebuilt is rebuilt after it: again and again, until nobody is added."""
    followers = {one.service: _makers(one) for one in services}
    added = True
    while added:
        added = False
        for one in services:
            if reasons[one.service]:
                continue
            if above := sorted(p for p in followers[one.service] if reasons.get(p)):
                reasons[one.service].append(f"it stands on {', '.join(above)}, rebuilt before it")
                added = True


def _makers(one: Standing) -> frozenset[str]:
    return frozenset(base.maker for base in one.bases if base.maker)


def _named(one: Standing) -> frozenset[str]:
    return frozenset(base.used.digest for base in one.bases)


def _with_parents(only: str, parents: Mapping[str, frozenset[str]]) -> set[str]:
    found, todo = {only}, [only]
    while todo:
        new = parents.get(todo.pop(), frozenset()) - found
        found |= new
        todo.extend(new)
    return found


def _stale(one: Standing, reasons: Sequence[str], after: frozenset[str]) -> Stale:
    return Stale(
        one.service,
        tuple(reasons),
        tuple(sorted(after)),
        one.release,
        one.digest,
        one.rule.batch,
        tuple(dict.fromkeys(each.id for each in one.fixable)),
        one.fetches,
    )


def _named_findings(found: Sequence[Finding]) -> str:
    told = [
        f"{one.id} ({one.severity.value}) in {one.package} (fixed in {one.fixed_version})"
        for one in found[:SHOWN]
    ]
    more = len(found) - SHOWN
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def _short(digest: str) -> str:
    return digest[:19]
