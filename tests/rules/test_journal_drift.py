"""The fold, of drift: what the last look found stands, and healing is told."""

from dataclasses import replace

from tasks.journal.events import written
from tasks.journal.rules import (
    DriftFound,
    DriftLeft,
    Healed,
    RolledBack,
    WentDown,
    body_of,
)
from tests.rules.test_journal import LATER, prod, promotion
from tests.support.drifting import drift
from tests.support.events import deployed, line

ONE, OTHER = drift("Memory"), drift("Env")


def test_drift_stands_until_a_look_says_that_it_is_over() -> None:
    found = line("r1", DriftFound((ONE, OTHER)))
    assert prod(promotion(1), found) == replace(prod(promotion(1)), drift=(ONE, OTHER))
    assert prod(promotion(1), found, line("r1", DriftFound((OTHER,)))).drift == (OTHER,)
    assert prod(promotion(1), found, line("r1", DriftFound(()))) == prod(promotion(1))


def test_drift_of_what_stays_warm_outlives_a_roll_back_and_none_outlives_down() -> None:
    found = line("r1", DriftFound((ONE,)))
    back = line("r1", RolledBack(deployed(1), "slow", "ada"))
    assert prod(promotion(1), promotion(2), found, back).drift == (ONE,)
    assert prod(promotion(1), found, line("r1", WentDown())).drift == ()


def test_that_drift_is_left_to_people_changes_nothing_else() -> None:
    left = line("r1", DriftLeft(ONE, 3, LATER))
    assert prod(promotion(1), left) == prod(promotion(1))


def test_healing_is_told_and_changes_nothing_else() -> None:
    state = prod(promotion(1), line("r1", Healed("one instance had died", (ONE.cause,))))
    assert state == replace(prod(promotion(1)), last_outcome="healed: one instance had died")


def test_a_heal_of_before_there_was_drift_cured_nothing_that_is_counted() -> None:
    event = line("r1", Healed("one had died"))
    old = replace(event, body={"reason": "one had died"})
    assert body_of(old) == Healed("one had died")
    assert written(Healed("one had died")) == {"reason": "one had died", "cured": []}
