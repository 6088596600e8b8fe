"""Bring a fleet to its spec; each artifact is admitted once more just before instances of it start."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.admission import ensure_admitted
from tasks import platforms
from tasks.model import Environment, FleetSpec, FleetStatus
from tasks.policy import PolicyInForce
from tasks.retries import PATIENTLY
from tasks.rollout.converge import converge


@task(
    cache_policy=NO_CACHE,
    task_run_name="bring {environment.service} in {environment.name} to its spec",
    **PATIENTLY,
)
def converge_fleet(
    environment: Environment,
    spec: FleetSpec,
    admitted: frozenset[str],
    policy: PolicyInForce,
    token: int,
) -> FleetStatus:
    """Start, shift, drain and remove until the platform shows what the spec says.

    NotAdmittedError if the evidence of what is to start does not hold any more: it is asked between check and start.
    """
    fleet = platforms.connect(environment.platform).fleet
    return converge(
        fleet,
        environment,
        spec,
        token,
        admitted,
        before_start=lambda artifact: ensure_admitted(artifact, policy),
    )
