"""Reconcile: rollouts whose process is gone are taken over, and users return to what served before, without a person."""

from collections.abc import Iterator

from flows.heal import heal_environment
from flows.statebook import state_of_today
from flows.tenure import RECONCILING, tenure
from tasks import platforms
from tasks.errors import LeaseHeldError


def reconcile() -> Iterator[str]:
    """Every environment with an unfinished rollout that nobody holds the lease of. Says what was withdrawn."""
    journal = platforms.journal()
    for state in state_of_today(journal).environments.values():
        here = state.environment
        if state.rollout is None or journal.holder(here.service, here.name) is not None:
            continue
        try:
            with tenure(journal, here.service, here.name, RECONCILING) as held:
                yield f"{here.service} {here.name}: {heal_environment(held)}"
        except LeaseHeldError:
            continue  # whoever has it now does the same, or goes on
