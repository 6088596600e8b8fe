"""Roll back: return an environment to the newest artifact that was promoted there and is admitted today (invariant 9)."""

import getpass
from datetime import UTC, datetime

from prefect import flow

from flows.admission import admit
from flows.evidence import publish_report
from flows.heal import settle, take_over
from flows.policies import todays_policy
from flows.story import Tone, tell
from flows.tenure import Tenure, tenure
from tasks import platforms
from tasks.errors import NotFoundError
from tasks.journal.rules import Deployed, EnvironmentState, RolledBack, roll_back_target
from tasks.model import Admission


@flow(flow_run_name="roll {service} back in {environment}")
def rollback(service: str, environment: str, reason: str = "asked for") -> Deployed:
    """Return an environment to what was good there before. A traffic change while that is still warm.

    Args:
        service: Name of the service.
        environment: Name of the environment.
        reason: Why; it is journalled with who asked.
    """
    with tenure(platforms.journal(), service, environment, "roll-back") as held:
        take_over(held)
        state = held.environment_state()
        if state is None or state.stable is None:
            raise NotFoundError(
                f"{service} does not run in {environment}; `bakewell status` lists what runs"
            )
        return go_back(held, state, reason)


def go_back(
    held: Tenure, state: EnvironmentState, reason: str, by: str = "", quarantine: str = ""
) -> Deployed:
    """NotFoundError, and nothing was changed, if there is nothing to go back to. `quarantine`: see `RolledBack`."""
    target, service = choose(held, state), held.lease.service
    held.record(target.release, RolledBack(target, reason, by or getpass.getuser(), quarantine))
    settle(held)
    gone = state.stable.release if state.stable else "what ran there"
    tell(
        f"{gone} was rolled back to {target.release}",
        Tone.GOOD,
        where=f"{service} {held.lease.environment}",
    )
    publish_report(held.journal, service, target.release)
    return target


def choose(held: Tenure, state: EnvironmentState) -> Deployed:
    """The newest vetted artifact that is admitted today; if none is, what runs is kept, loudly."""
    lease, refused = held.lease, list[str]()
    policy = todays_policy(held.state(), lease.service, lease.environment)
    for candidate in roll_back_target(state):
        decision = admit(candidate.artifact, policy)
        if decision.answer is Admission.ADMIT:
            return candidate
        refused.append(f"{candidate.release} ({candidate.artifact.short}): {decision.reason}")
        tell(
            f"not back to {refused[-1]}",
            Tone.WARN,
            where=f"{held.lease.service} {held.lease.environment}",
        )
    serving = state.stable.release if state.stable else "nothing"
    found = "; ".join(refused) or "nothing else was ever promoted there"
    raise NotFoundError(
        f"{held.lease.service} cannot go back in {held.lease.environment}: {found}. {serving} keeps serving;"
        f" release a fixed version. ({datetime.now(UTC):%Y-%m-%d %H:%M} UTC)"
    )
