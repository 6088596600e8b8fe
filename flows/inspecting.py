"""Inspecting: gathers what is known of one artifact: its evidence, verified now, and where it runs."""

from collections.abc import Iterator
from datetime import UTC, datetime

from flows.chain import Chain, Place, chain
from flows.quarantine import quarantined
from tasks import oci, platforms
from tasks.admit.quarantine import grounds
from tasks.bake.rules import BASE_DIGEST
from tasks.errors import BakewellError
from tasks.journal.rules import EnvironmentState, State, desired
from tasks.model import Artifact, FleetStatus, Group
from tasks.sign import evidence


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
