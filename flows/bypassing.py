"""Bypassing: a barrier said no, and a release goes on because somebody said why. Each time is a line in the journal: a debt.

Whether anybody may is the policy's to say (`bypass`); evidence, smoke test and judge are no barriers.
"""

import getpass
from collections.abc import Iterable, Sequence

from flows.policies import policy_of
from flows.story import Tone, tell
from flows.tenure import LEASE_SECONDS, Tenure
from tasks.errors import InvalidInputError, NotAdmittedError
from tasks.journal.rules import Bypassed, EventKind, ReleaseState, body_of, record
from tasks.lanes import Barrier, Bypass, Lane, LaneKind
from tasks.policy import PolicyInForce


def goes_past(
    held: Tenure,
    told: ReleaseState,
    environment: str,
    barrier: Barrier,
    found: str,
    despite: str = "",
    since: int = 0,
) -> bool:
    """Does the release go past a barrier that said `found`? Then that is journalled, once behind the line `since`. `despite`:
    why, where its lane does not say so. `held` is of the environment, or of all releases of the service."""
    why = despite or told.lane.why_past(barrier)
    if not why or barrier not in policy_of(told.spec, environment).policy.bypass:
        return False
    if not has_gone_past(held, told.id, environment, barrier, since):
        _write(held, told, environment, Bypassed(barrier.value, found, why, _who(told.lane)))
        words = f"{barrier.value} bypassed ({why}); it said: {found}"
        tell(words, Tone.WARN, where=f"{told.service} {told.id} in {environment}")
    return True


def has_gone_past(
    held: Tenure, release: str, environment: str, barrier: Barrier, after: int = 0
) -> bool:
    """Is there a line of it, behind the line `after`?"""
    for event in held.journal.events(held.lease.service, after):
        if (event.kind, event.environment, event.release) == (
            EventKind.BYPASSED,
            environment,
            release,
        ):
            body = body_of(event)
            if isinstance(body, Bypassed) and body.gate == barrier.value:
                return True
    return False


def lane_of(kind: LaneKind, reason: str, by: str, bypasses: Sequence[Bypass]) -> Lane:
    """InvalidInputError if a hotfix or a bypass has no reason, or a reason has no hotfix."""
    if kind is LaneKind.HOTFIX and not reason.strip():
        raise InvalidInputError("asked for a hotfix without a reason; say why it cannot wait")
    if kind is LaneKind.NORMAL and reason.strip():
        raise InvalidInputError(
            f"found a reason ({reason!r}) for the normal lane, which needs none; choose the lane hotfix, or leave it out"
        )
    for one in bypasses:
        if not one.reason.strip():
            raise InvalidInputError(
                f"asked to go past {one.barrier.value} without a reason; say why"
            )
    return Lane(kind, reason.strip(), by.strip(), tuple(bypasses))


def bypass_named(words: str) -> Bypass:
    """Of `GATE=REASON`, as one types it. InvalidInputError."""
    name, _, reason = words.partition("=")
    barriers = {one.value.replace(" ", "-"): one for one in Barrier}
    if (barrier := barriers.get(name.strip())) is None or not reason.strip():
        raise InvalidInputError(
            f"found --bypass {words!r}; allowed: GATE=REASON, where GATE is one of {', '.join(barriers)}"
        )
    return Bypass(barrier, reason.strip())


def check_lane(lane: Lane, policies: Iterable[PolicyInForce]) -> None:
    """NotAdmittedError if the policy of an environment lets nobody past what was asked for by name."""
    for policy in policies:
        refused = [one.barrier for one in lane.bypasses if one.barrier not in policy.policy.bypass]
        if refused:
            allowed = ", ".join(one.value for one in policy.policy.bypass) or "nothing"
            raise NotAdmittedError(
                f"asked to go past {refused[0].value}; policy {policy.name} lets nobody do that (`bypass` in it allows:"
                f" {allowed}). Nothing was changed; leave the bypass out, or ask whoever owns the policy"
            )


def _write(held: Tenure, told: ReleaseState, environment: str, body: Bypassed) -> None:
    if held.lease.environment == environment:
        held.record(told.id, body)
    else:
        held.journal.renew(held.lease, LEASE_SECONDS)
        record(held.journal, told.service, environment, told.id, body)


def _who(lane: Lane) -> str:
    return lane.by or getpass.getuser()
