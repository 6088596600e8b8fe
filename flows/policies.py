"""Which policy holds where: named by service.yaml, read anew each time somebody asks."""

from collections.abc import Sequence

from tasks import platforms
from tasks.journal.rules import ReleaseState, State
from tasks.policy import PolicyInForce
from tasks.service import ServiceSpec


def policy_of(spec: ServiceSpec, environment: str) -> PolicyInForce:
    """What holds in that environment today. InvalidInputError if there is no such policy, or it cannot be read."""
    return platforms.policy(spec.policy_of(environment))


def check_policies(spec: ServiceSpec, places: Sequence[str]) -> dict[str, PolicyInForce]:
    """Those of all environments, by name: a mistake in the last one's is told before the first one changes."""
    return {place: policy_of(spec, place) for place in places}


def todays_policy(state: State, service: str, environment: str) -> PolicyInForce:
    """For what runs already: as the newest release of the service names it; `default` if there is none."""
    newest = newest_release(state, service)
    return platforms.policy(newest.spec.policy_of(environment) if newest else "default")


def newest_release(state: State, service: str) -> ReleaseState | None:
    """By its start."""
    releases = [release for (owner, _), release in state.releases.items() if owner == service]
    return max(releases, key=lambda release: release.started_at, default=None)
