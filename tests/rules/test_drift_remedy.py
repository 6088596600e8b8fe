"""What is done against drift, and when nothing is done any more."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tasks.drift.remedy import BREAKER, PastHeal, remedy
from tasks.inspection import Cure, Drift, DriftKind
from tests.support.drifting import NOON, drift

MINUTE = timedelta(minutes=1)
FOREIGN = Drift(DriftKind.FOREIGN, "", "", "miner", "miner", "nobody", Cure.PERSON)


def heals(count: int, cause: str) -> list[PastHeal]:
    """One a minute, the newest just now."""
    return [PastHeal(NOON - number * MINUTE, (cause,)) for number in range(count)]


def test_each_changed_instance_is_replaced_once_whatever_was_done_to_it() -> None:
    found = [drift("Memory"), drift("Env"), drift("Memory", instance="r2-1"), FOREIGN]
    cure = remedy(found, [], NOON, is_served=True)
    assert cure.replace == (("r2", "r2-0"), ("r2", "r2-1"))
    assert [cure.converge, cure.reroute, cure.go_back] == [False] * 3
    assert cure.heals == tuple(found[:3])
    assert cure.people == (FOREIGN,)


def test_what_came_back_after_as_many_heals_as_are_allowed_is_left_until_the_oldest_is_old() -> (
    None
):
    one, past = drift(), heals(BREAKER.times, drift().cause)
    cure = remedy([one], past, NOON, is_served=True)
    assert (cure.replace, cure.heals) == ((), ())
    (left,) = cure.left
    assert (left.drift, left.times) == (one, BREAKER.times)
    assert left.until == past[-1].at + BREAKER.within
    assert remedy([one], past, left.until, is_served=True).heals == (one,)


def test_what_is_left_of_one_cause_does_not_keep_others_from_being_healed() -> None:
    past = heals(BREAKER.times, drift("Memory").cause)
    other = drift("Env", instance="r2-1")
    cure = remedy([drift("Memory"), other], past, NOON, is_served=True)
    assert cure.heals == (other,)
    assert cure.replace == (("r2", "r2-1"),)


def test_the_same_cause_in_another_instance_is_the_same_cause() -> None:
    past = heals(BREAKER.times, drift(instance="r2-0").cause)
    assert remedy([drift(instance="r2-7")], past, NOON, is_served=True).heals == ()


def test_while_nobody_is_served_nothing_is_left_that_could_serve_again() -> None:
    converge, replaced = drift("x", Cure.CONVERGE), drift("y", Cure.REPLACE)
    past = [PastHeal(NOON, (converge.cause, replaced.cause))] * BREAKER.times
    assert remedy([converge, replaced], past, NOON, is_served=False).heals == (converge,)
    assert remedy([converge, replaced], past, NOON, is_served=True).heals == ()


causes = st.sampled_from(["Memory", "Env", "CapAdd"])
found_drifts = st.lists(
    st.builds(drift, causes, st.sampled_from(Cure), st.sampled_from(["r2-0", "r2-1"])), max_size=6
)
pasts = st.lists(
    st.builds(
        lambda minutes, names: PastHeal(
            NOON - minutes * MINUTE, tuple(drift(name).cause for name in names)
        ),
        st.integers(0, 120),
        st.lists(causes, max_size=3),
    ),
    max_size=8,
)


@given(found_drifts, pasts, st.booleans())
def test_each_drift_is_healed_or_left_or_a_persons_and_never_two_of_these(
    found: list[Drift], past: list[PastHeal], is_served: bool
) -> None:
    cure = remedy(found, past, NOON, is_served)
    left = {one.drift.cause for one in cure.left}
    for one in found:
        fates = (
            one in cure.heals,
            one in cure.people,
            one.cure is not Cure.PERSON and one.cause in left,
        )
        assert sum(fates) == 1, one
    assert all(one.times >= BREAKER.times for one in cure.left)
    assert all(NOON < one.until <= NOON + BREAKER.within for one in cure.left)


@given(found_drifts, pasts)
def test_more_heals_in_the_past_never_heal_more(found: list[Drift], past: list[PastHeal]) -> None:
    more = [*past, *(replace(one, at=NOON) for one in past)]
    few = remedy(found, more, NOON, is_served=True).heals
    assert set(few) <= set(remedy(found, past, NOON, is_served=True).heals)
