"""Converge: bring a fleet to its spec by reading, planning, doing the first action, and reading again.

Nothing is remembered between rounds: a crash at any moment leaves work for whoever converges next, never a mess.
"""

from collections.abc import Callable
from typing import Final

from tasks.errors import TransientError
from tasks.model import Action, Artifact, EnsureGroup, Environment, FleetSpec, FleetStatus
from tasks.ports import Fleet
from tasks.rollout.rules import plan
from tasks.rollout.simulation import describe

ROUNDS: Final = 8


def converge(
    fleet: Fleet,
    environment: Environment,
    spec: FleetSpec,
    token: int,
    admitted: frozenset[str],
    heartbeat: Callable[[], None] | None = None,
    on_action: Callable[[Action], None] | None = None,
    before_start: Callable[[Artifact], None] | None = None,
    rounds: int = ROUNDS,
) -> FleetStatus:
    """The status in which nothing is left to do.

    `heartbeat` is called before each action and may raise to stop here; `on_action` hears what is about to be done.
    `before_start` is asked just before instances of an artifact start, and raises if they may not (invariant 2).
    TransientError after `rounds` actions in a row that left the plan as long as it was. What the fleet raises is
    passed on: the fleet is then somewhere on the way, and converging again goes on from there.
    """
    shortest, idle_rounds = None, 0
    while actions := plan(spec, status := fleet.read(environment), admitted):
        if shortest is not None and len(actions) >= shortest:
            idle_rounds += 1
        else:
            shortest, idle_rounds = len(actions), 0
        if idle_rounds >= rounds:
            raise TransientError(_no_closer(environment, actions, rounds))
        if heartbeat:
            heartbeat()
        if on_action:
            on_action(actions[0])
        if before_start and isinstance(actions[0], EnsureGroup):
            before_start(actions[0].group.artifact)
        fleet.apply(environment, actions[0], token)
    return status


def _no_closer(environment: Environment, actions: tuple[Action, ...], rounds: int) -> str:
    return (
        f"{environment.service} in {environment.name} should come to its spec and has not come closer in {rounds}"
        f" actions; what keeps coming back: {describe(actions[0])}. Look at the logs of its instances, then try again"
    )
