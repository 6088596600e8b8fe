"""Unchanged: what has not changed rolls nothing (invariant 10). Knows nothing of Prefect, so that it is told at once."""

from dataclasses import dataclass
from pathlib import Path

from flows.heal import heal_environment
from flows.planning import environments_until
from flows.policies import check_policies
from flows.standing import bases_in_force
from flows.story import Tone, tell
from flows.tenure import Tenure, tenure, tenure_after_chores
from tasks import platforms
from tasks.adapters.service_file import read_service
from tasks.bake.bakery import known_artifact
from tasks.evidence import Kind
from tasks.journal.rules import fold
from tasks.model import Artifact
from tasks.service import ServiceSpec
from tasks.sign import evidence


@dataclass(frozen=True)
class Released:
    """How a release ended: its id, its digest, and a sentence."""

    release: str
    digest: str
    outcome: str


def released_already(path: Path, to: str) -> Released | None:
    """The answer of a release that has nothing to do, or None: then it has to be run."""
    spec, folder = read_service(path)
    places = environments_until(spec, to)
    check_policies(spec, places)
    followed = bases_in_force(fold(platforms.journal().events(spec.service)), spec.service)
    artifact = known_artifact(spec, folder, platforms.store_for(spec), followed)
    if artifact is None:
        return None
    with tenure(platforms.journal(), spec.service, "", "release") as held:
        if is_unchanged(held, spec, artifact, places):
            return nothing_to_do(held, artifact, places)
    return None


def is_unchanged(held: Tenure, spec: ServiceSpec, artifact: Artifact, places: list[str]) -> bool:
    """Is this very artifact, under this very service.yaml, stable in every environment asked for, and nothing of its release
    left to do? One that was killed after its last promotion is finished first: others may follow the tag it has yet to set."""
    state = held.state()
    released = [one for (service, _), one in state.releases.items() if service == spec.service]
    newest = max(released, key=lambda one: one.started_at, default=None)
    if newest is None or newest.spec != spec or (newest.outcome is None and not newest.waiting):
        return False
    for place in places:
        there = state.environments.get((spec.service, place))
        stable = there.stable if there and not there.rollout else None
        wanted = spec.environment_spec(place)
        if stable is None or wanted is None or stable.artifact.digest != artifact.digest:
            return False
        if stable.replicas != wanted.replicas:
            return False
    return _has_an_origin(artifact)


def _has_an_origin(artifact: Artifact) -> bool:
    """What older versions released has no provenance: it is vouched for now, and nothing is rolled."""
    return bool(evidence.examine(artifact).valid(Kind.PROVENANCE))


def nothing_to_do(held: Tenure, artifact: Artifact, places: list[str]) -> Released:
    """What has drifted meanwhile is healed."""
    for place in places:
        with tenure_after_chores(
            held.journal, held.lease.service, place, "release without changes"
        ) as here:
            done = heal_environment(here)
        where = f"{held.lease.service} {place}"
        tell(f"{artifact.short} is stable already; {done}", Tone.GOOD, where=where)
    return Released("", artifact.digest, "nothing changed, nothing rolled")
