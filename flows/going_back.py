"""Going back: users are returned to the newest artifact that was promoted there and is admitted today (invariant 9).

Knows nothing of Prefect: its import and its server would take longer than all of this, and users wait. Whoever shows it in
Prefect does so afterwards (flows/rollback.py, flows/run.py).
"""

import getpass
from datetime import UTC, datetime

from flows.admission import admit
from flows.heal import abandon, close_run, settle
from flows.policies import todays_policy
from flows.story import Tone, tell
from flows.tenure import Tenure, tenure_after_chores
from tasks import platforms
from tasks.errors import NotFoundError
from tasks.journal.returns import is_half_way, was_rolled_back_last
from tasks.journal.rules import Deployed, EnvironmentState, RolledBack, roll_back_target
from tasks.model import Admission


def roll_back(service: str, environment: str, reason: str) -> Deployed:
    """What serves there now. A roll-back that was killed half way is finished, and no second one begun.

    NotFoundError, and nothing was changed, if there is nothing to go back to; LeaseHeldError if somebody changes it.
    """
    with tenure_after_chores(platforms.journal(), service, environment, "roll-back") as held:
        left = abandon(held)
        try:
            return _returned(held, reason)
        except NotFoundError:
            if left is not None:
                settle(
                    held
                )  # nowhere to go back to; what nobody looks after any more goes all the same
            raise
        finally:
            if left is not None:
                close_run(left)


def _returned(held: Tenure, reason: str) -> Deployed:
    state = held.environment_state()
    if state is None or state.stable is None:
        raise NotFoundError(
            f"{held.lease.service} does not run in {held.lease.environment}; `bakewell status` lists what runs"
        )
    return finish(held, state) or go_back(held, state, reason)


def finish(held: Tenure, state: EnvironmentState) -> Deployed | None:
    """What serves, if a roll-back had been journalled and not been brought to its end; None, and nothing was done, otherwise."""
    here = state.environment
    if not was_rolled_back_last(held.journal.events(here.service), here.name):
        return None
    status = platforms.connect(here.platform).fleet.read(here)
    if state.stable is None or not is_half_way(state, status, datetime.now(UTC)):
        return None
    settle(held)
    tell(
        f"the roll-back to {state.stable.release} had not come to its end; now it has. To go back further, ask again",
        Tone.GOOD,
        where=_where(held),
    )
    return state.stable


def go_back(
    held: Tenure, state: EnvironmentState, reason: str, by: str = "", quarantine: str = ""
) -> Deployed:
    """NotFoundError, and nothing was changed, if there is nothing to go back to. `quarantine`: see `RolledBack`."""
    target = choose(held, state)
    held.record(target.release, RolledBack(target, reason, by or getpass.getuser(), quarantine))
    settle(held)
    gone = state.stable.release if state.stable else "what ran there"
    tell(f"{gone} was rolled back to {target.release}", Tone.GOOD, where=_where(held))
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
        tell(f"not back to {refused[-1]}", Tone.WARN, where=_where(held))
    serving = state.stable.release if state.stable else "nothing"
    found = "; ".join(refused) or "nothing else was ever promoted there"
    raise NotFoundError(
        f"{lease.service} cannot go back in {lease.environment}: {found}. {serving} keeps serving;"
        f" release a fixed version. ({datetime.now(UTC):%Y-%m-%d %H:%M} UTC)"
    )


def _where(held: Tenure) -> str:
    return f"{held.lease.service} {held.lease.environment}"
