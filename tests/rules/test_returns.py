"""Whether a roll-back is still on its way: what the journal said last, and what the platform shows."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tasks.journal.events import Body, Healed, Promoted, RolledBack, RolloutStarted, Scaled
from tasks.journal.returns import is_half_way, was_rolled_back_last
from tasks.journal.rules import EnvironmentState, fold
from tasks.model import FleetStatus, GroupStatus
from tests.support.events import NOON, PROD, artifact, chained, deployed, line

BACK = RolledBack(deployed(2), "it was slow", "ada")
STATE = EnvironmentState(PROD, stable=deployed(2), vetted=(deployed(1), deployed(2)))


def there(*groups: tuple[int, int]) -> FleetStatus:
    """Releases and the weight of each; no instance is ready."""
    return FleetStatus(
        tuple(GroupStatus(f"r{number}", artifact(number), weight) for number, weight in groups)
    )


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ([], True),
        ([Healed("an instance had died")], True),
        ([Scaled(3)], False),
        ([RolloutStarted(PROD, artifact(4), 2, "")], False),
        ([Promoted(deployed(4), None)], False),
    ],
)
def test_a_roll_back_is_the_last_word_until_something_else_is_decided(
    later: list[Body], expected: bool
) -> None:
    events = chained(line("r2", body) for body in (BACK, *later))
    assert was_rolled_back_last(events, "prod") is expected


def test_what_is_decided_elsewhere_does_not_count() -> None:
    elsewhere = line("r2", BACK, environment="staging")
    events = chained([line("r3", Promoted(deployed(3), None)), elsewhere])
    assert not was_rolled_back_last(events, "prod")
    assert was_rolled_back_last(events, "staging")
    assert not was_rolled_back_last([], "prod")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (there((2, 0), (3, 100)), True),
        (there((2, 50), (3, 50)), True),
        (there((2, 100), (3, 0)), True),
        (there((3, 100)), True),
        (there((2, 100)), False),
        (there(), False),
    ],
)
def test_it_is_half_way_as_long_as_anything_of_what_had_to_go_is_there(
    status: FleetStatus, expected: bool
) -> None:
    assert is_half_way(STATE, status, NOON) is expected


def test_a_warm_group_that_users_are_still_on_is_half_way_too() -> None:
    warm = replace(STATE, warm=deployed(1), warm_until=NOON + timedelta(minutes=1))
    assert not is_half_way(warm, there((2, 100), (1, 0)), NOON)
    assert is_half_way(warm, there((2, 0), (1, 100)), NOON)


def test_a_roll_back_leaves_nothing_warm_so_what_it_left_is_known_by_its_being_there() -> None:
    promoted = chained(
        line(f"r{number}", body)
        for number in (1, 2, 3)
        for body in (
            RolloutStarted(PROD, artifact(number), 2, ""),
            Promoted(deployed(number), NOON + timedelta(hours=1)),
        )
    )
    state = fold(chained([*promoted, line("r2", BACK)])).environments["hello", "prod"]
    assert state.warm is None
    assert is_half_way(state, there((2, 100), (3, 0)), NOON)
