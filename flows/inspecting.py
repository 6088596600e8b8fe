"""Inspecting: the whole chain of one artifact, from its source to where it runs, as it can be proved today."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from flows.facts import checked
from flows.quarantine import quarantined
from tasks import oci, platforms
from tasks.admit.quarantine import grounds
from tasks.bake.rules import BASE_DIGEST
from tasks.errors import BakewellError
from tasks.evidence import (
    Checked,
    Dossier,
    Ground,
    Kind,
    Package,
    Provenance,
    RolloutVerdict,
    ScanNotDone,
    ScanReport,
    SmokeTested,
)
from tasks.journal.rules import EnvironmentState, State, desired
from tasks.model import Artifact, FleetStatus, Group
from tasks.sign import evidence
from tasks.sign.bills import fullest
from tasks.sign.provenance import read_provenance
from tasks.sign.rules import newest_scan
from tasks.sign.statements import read_smoke, read_verdict


@dataclass(frozen=True)
class Place:
    """Where it runs, or should. `weight` (percent) and `ready` are as the platform shows them; None: it did not answer."""

    service: str
    environment: str
    platform: str
    release: str
    role: str
    wanted: int
    weight: int | None
    ready: int | None


@dataclass(frozen=True)
class Chain:
    """What is proved of one artifact, link by link. Only what the right role vouches for is in it.

    `origins`, `tests` and `verdicts`: newest first. `base` is what its manifest says it stands on, which nobody need vouch
    for. `packages` is None without a readable bill. `kinds`: what evidence of each kind is worth as a whole.
    """

    artifact: Artifact
    origins: tuple[Provenance, ...]
    base: str
    packages: tuple[Package, ...] | None
    scan: ScanReport | ScanNotDone | None
    signatures: tuple[Checked, ...]
    kinds: tuple[Checked, ...]
    tests: tuple[SmokeTested, ...]
    verdicts: tuple[RolloutVerdict, ...]
    quarantines: tuple[Ground, ...] = ()
    places: tuple[Place, ...] = ()


def inspected(artifact: Artifact, state: State) -> Chain:
    """NotFoundError if its store does not have it; TransientError if that does not answer. `state` is of all services."""
    base = base_of(artifact)
    dossier = evidence.examine(artifact)
    held = grounds(quarantined(artifact, dossier))
    return chain(dossier, base, held, tuple(_places(artifact, state)))


def base_of(artifact: Artifact) -> str:
    """The digest that its manifest names; empty for none."""
    raw = platforms.store(artifact.repository).manifest(artifact.digest)
    annotations = oci.checked_manifest(raw).get("annotations") or {}
    return str(annotations.get(BASE_DIGEST, ""))


def chain(
    dossier: Dossier,
    base: str,
    quarantines: tuple[Ground, ...] = (),
    places: tuple[Place, ...] = (),
) -> Chain:
    """Of evidence as it was read."""
    origins = filter(None, map(read_provenance, dossier.valid(Kind.PROVENANCE)))
    tests = filter(None, map(read_smoke, dossier.valid(Kind.SMOKE_TEST)))
    verdicts = filter(None, map(read_verdict, dossier.valid(Kind.VERDICT)))
    never = datetime.min.replace(tzinfo=UTC)
    return Chain(
        dossier.artifact,
        tuple(sorted(origins, key=lambda one: one.finished_at or never, reverse=True)),
        base,
        fullest(dossier.valid(Kind.CYCLONEDX)),
        newest_scan(dossier.valid(Kind.SCAN), dossier.artifact.digest),
        dossier.signatures,
        tuple(checked(dossier, kind) for kind in Kind if kind is not Kind.SIGNATURE),
        tuple(sorted(tests, key=lambda one: one.at, reverse=True)),
        tuple(sorted(verdicts, key=lambda one: one.at, reverse=True)),
        quarantines,
        places,
    )


def _places(artifact: Artifact, state: State) -> Iterator[Place]:
    """Platforms are asked only where the journal wants this digest."""
    now = datetime.now(UTC)
    for place in state.environments.values():
        groups = [
            one for one in desired(place, now).groups if one.artifact.digest == artifact.digest
        ]
        found = _status(place) if groups else None
        yield from (_place(place, group, found) for group in groups)


def _status(state: EnvironmentState) -> FleetStatus | None:
    try:
        return platforms.connect(state.environment.platform).fleet.read(state.environment)
    except BakewellError:
        return None


def _place(state: EnvironmentState, group: Group, found: FleetStatus | None) -> Place:
    there, here = (found.group(group.name) if found else None), state.environment
    return Place(
        here.service,
        here.name,
        here.platform,
        group.name,
        group.role.value,
        group.replicas,
        None if found is None else (there.weight if there else 0),
        None if found is None else (there.ready if there else 0),
    )
