"""Is a roll-back still on its way? Whoever asks again for one that was killed half way means the same one, not the next. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from tasks.journal.events import EventKind
from tasks.journal.rules import EnvironmentState, desired
from tasks.model import FleetStatus
from tasks.ports import Event

# Each of these says anew what should be there; what else is journalled of an environment leaves that as it is.
TURNS: Final = frozenset(
    {
        EventKind.ROLLOUT_STARTED,
        EventKind.PROMOTED,
        EventKind.WITHDRAWN,
        EventKind.ROLLED_BACK,
        EventKind.SCALED,
        EventKind.WENT_DOWN,
    }
)


def was_rolled_back_last(events: Sequence[Event], environment: str) -> bool:
    """Nothing was decided there since its last roll-back. `events` are the service's, in order."""
    turns = (one for one in reversed(events) if one.environment == environment)
    newest = next((one for one in turns if one.kind in TURNS), None)
    return newest is not None and newest.kind == EventKind.ROLLED_BACK


def is_half_way(state: EnvironmentState, status: FleetStatus, now: datetime) -> bool:
    """Users, or instances, are still where the environment's last roll-back was to take them away from.

    An instance of the target that has died since is no sign of it: that would keep people from going back further.
    """
    wanted = desired(state, now)
    serving = {group.name for group in wanted.groups if group.weight}
    left = {group.name for group in status.groups} - {group.name for group in wanted.groups}
    return bool(left) or any(group.weight and group.name not in serving for group in status.groups)
