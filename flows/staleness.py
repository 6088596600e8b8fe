"""Staleness: what is known of every service that runs, gathered for the rule that says which of them to rebuild. No Prefect.

It changes nothing but what is known: scans that have grown too old are done again, and new digests of bases are journalled.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

from flows.base_tags import Tag, look_at_tags
from flows.contents import image_layers
from flows.facts import bases_known_since
from flows.rebuild_state import renewed_at
from flows.rescan import with_fresh_scan
from flows.standing import standing
from tasks import platforms
from tasks.errors import BakewellError, NotFoundError
from tasks.evidence import Finding, Kind, ScanReport
from tasks.journal.rules import ReleaseState, State, fold
from tasks.model import Artifact
from tasks.policy import Policy, PolicyInForce
from tasks.ports import Event
from tasks.rebuild.rules import BaseNow, Plan, Standing, plan
from tasks.recipes import DockerfileBake
from tasks.references import BaseUsed
from tasks.sign.rules import newest_scan

RESCAN_HOURS: Final = 1.0


@dataclass(frozen=True)
class Ground:
    """What all services share. `makers`: who made which digest here. `policy`: reads each one once."""

    state: State
    tags: Mapping[str, Tag]
    known_since: Mapping[str, datetime]
    renewed: Mapping[str, datetime]
    makers: Mapping[str, str]
    policy: Callable[[str], PolicyInForce]


def planned(service: str = "") -> Plan:
    """What is stale now, in order. What could not be looked at is in its notes."""
    events = platforms.journal().events()
    state = fold(events)
    known = sorted({name for name, _ in state.environments})
    if service and service not in known:
        raise NotFoundError(
            f"asked to rebuild {service}, which was never rolled out; `bakewell status` lists what was"
        )
    running = [one for name in known if (one := standing(state, name))]
    ground = _ground(events, state, running)
    found: list[Standing] = []
    unseen: list[str] = []
    for one in running:
        try:
            found.append(look_at(one, ground))
        except BakewellError as error:
            unseen.append(f"{one.service}: could not be looked at: {error}")
    told = plan(found, datetime.now(UTC), service)
    return Plan(told.stale, (*told.notes, *unseen))


def standing_now(service: str) -> tuple[ReleaseState, Standing]:
    """One service anew, when its turn has come: what it stands on may have been rebuilt a minute ago."""
    events = platforms.journal().events()
    state = fold(events)
    if (stands := standing(state, service)) is None:
        raise NotFoundError(f"{service} does not run any more: there is nothing to rebuild")
    return stands, look_at(stands, _ground(events, state, [stands]))


def _ground(events: Sequence[Event], state: State, running: list[ReleaseState]) -> Ground:
    tags = look_at_tags(base for one in running for base in one.bases)
    makers = {one.artifact.digest: name for (name, _), one in state.releases.items()}
    return Ground(
        state, tags, bases_known_since(), renewed_at(events), makers, cache(platforms.policy)
    )


def look_at(stands: ReleaseState, ground: Ground) -> Standing:
    """TransientError if its store does not answer."""
    names = [stands.spec.policy_of(place.name) for place in stands.spec.environments]
    policies = [ground.policy(name).policy for name in names]
    findings, unscanned = findings_of(stands.artifact, policies[-1])
    releases = ground.state.releases.items()
    renewed = ground.renewed.get(stands.service, stands.started_at)
    return Standing(
        stands.service,
        stands.id,
        stands.artifact.digest,
        image_layers(stands.artifact),
        frozenset(one.artifact.digest for (name, _), one in releases if name == stands.service),
        tuple(_base_now(one, stands.service, ground) for one in stands.bases),
        findings,
        max(stands.started_at, renewed),
        isinstance(stands.spec.bake, DockerfileBake),
        policies[-1].rebuild,
        timedelta(hours=max(one.base.min_age_hours for one in policies)),
        tuple(set.intersection(*(set(one.base.trusted) for one in policies))),
        unscanned,
    )


def findings_of(artifact: Artifact, policy: Policy) -> tuple[tuple[Finding, ...], str]:
    """What today's database knows: its bill is scanned again unless that was done within the hour. Empty, and why, if there is
    no scan."""
    hours = min(RESCAN_HOURS, policy.max_scan_age_hours)
    dossier = with_fresh_scan(artifact, policy.model_copy(update={"max_scan_age_hours": hours}))
    scan = newest_scan(dossier.valid(Kind.SCAN), artifact.digest)
    if isinstance(scan, ScanReport):
        return scan.findings, ""
    return (), scan.reason if scan else "no scan that our scanner vouches for was found"


def _base_now(used: BaseUsed, service: str, ground: Ground) -> BaseNow:
    """A service that stands on what it made itself before has no maker but itself: that is no parent."""
    tag = ground.tags[used.place]
    maker = ground.makers.get(tag.digest) or ground.makers.get(used.digest, "")
    maker = "" if maker == service else maker
    stands = standing(ground.state, maker) if maker else None
    return BaseNow(
        used,
        tag.digest,
        ground.known_since.get(tag.digest),
        tag.unread,
        maker,
        stands is not None and stands.artifact.digest == tag.digest,
    )
