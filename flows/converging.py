"""Bring a fleet to its spec; each artifact is admitted once more just before instances of it start."""

from dataclasses import replace

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.admission import admit, ensure_admitted
from flows.story import Tone, tell, teller
from tasks import platforms
from tasks.errors import NotAdmittedError
from tasks.model import Admission, Environment, FleetSpec, FleetStatus, Group, Role
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
    That of what served before does not stop the candidate, which may be the way out: its groups stay short of what died.
    """
    say = teller(f"{environment.service} {environment.name}")
    fleet = platforms.connect(environment.platform, say).fleet

    def towards(wanted: FleetSpec) -> FleetStatus:
        return converge(
            fleet,
            environment,
            wanted,
            token,
            admitted,
            before_start=lambda artifact: ensure_admitted(artifact, policy),
        )

    try:
        return towards(spec)
    except NotAdmittedError as error:
        shorter = without_refused_old(spec, fleet.read(environment), policy)
        if shorter == spec:
            raise
        where = f"{environment.service} {environment.name}"
        tell(f"what served before stays short of instances: {error}", Tone.WARN, where=where)
        return towards(shorter)


def without_refused_old(spec: FleetSpec, status: FleetStatus, policy: PolicyInForce) -> FleetSpec:
    """The spec, with groups of what served before cut down to their ready instances if no more may start today; those
    without traffic that have none are left out. The candidate's group stays as it is: refused, it cannot go on."""

    def kept(group: Group) -> Group | None:
        there = status.group(group.name)
        ready = there.ready if there else 0
        if group.role is Role.CANARY or ready >= group.replicas:
            return group
        if admit(group.artifact, policy).answer is Admission.ADMIT:
            return group
        if not ready:
            return group if group.weight else None
        return replace(group, replicas=ready)

    return FleetSpec(tuple(group for group in map(kept, spec.groups) if group is not None))
