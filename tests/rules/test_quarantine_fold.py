"""The fold of quarantines: what is quarantined after these lines, in whatever order somebody wrote them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tasks.evidence import Quarantine, QuarantineKind
from tasks.journal.rules import (
    EVERY_SERVICE,
    Body,
    Promoted,
    Quarantined,
    QuarantineLifted,
    RolledBack,
    RolloutStarted,
    State,
    body_of,
    fold,
    roll_back_target,
    verify_chain,
    written,
)
from tasks.ports import Event
from tests.support.events import NOON, PROD, artifact, chained, deployed, line

KEYS = [
    (QuarantineKind.ARTIFACT, artifact(1).digest),
    (QuarantineKind.BASE, artifact(1).digest),
    (QuarantineKind.PACKAGE, "leaky@*"),
]
keys = st.sampled_from(KEYS)
ends = st.none() | st.integers(0, 20).map(lambda hours: NOON + timedelta(hours=hours))
added = st.builds(
    lambda key, reason, until: Quarantined(Quarantine(key[0], key[1], reason, "ada", NOON, until)),
    keys,
    st.sampled_from(["stolen key", "poisoned"]),
    ends,
)
lifted = st.builds(lambda key: QuarantineLifted(key[0], key[1], "a false alarm", "bob"), keys)
said = st.lists(added | lifted, max_size=12)


def everywhere(body: Body) -> Event:
    return replace(line("", body, environment="", token=0), service=EVERY_SERVICE)


def folded(bodies: Sequence[Body]) -> State:
    return fold(chained(map(everywhere, bodies)))


@given(said)
def test_the_newest_line_about_a_thing_is_what_counts(bodies: list[Body]) -> None:
    """Against the plainest model there is: for each thing look for its last line."""
    expected = set()
    for key in KEYS:
        about = [
            body.quarantine if isinstance(body, Quarantined) else None
            for body in bodies
            if isinstance(body, Quarantined | QuarantineLifted)
            and key
            == (
                (body.quarantine.kind, body.quarantine.what)
                if isinstance(body, Quarantined)
                else (body.kind, body.what)
            )
        ]
        expected |= {about[-1]} - {None} if about else set()
    found = folded(bodies).quarantines
    assert set(found) == expected
    assert len({(one.kind, one.what) for one in found}) == len(found)


@given(said, st.integers(0, 24))
def test_what_is_over_is_not_in_force_and_what_has_no_end_ends_by_lifting_only(
    bodies: list[Body], hours: int
) -> None:
    now = NOON + timedelta(hours=hours)
    for one in folded(bodies).quarantines:
        assert one.in_force(now) == (one.until is None or one.until > now)
    lifted_all = [*bodies, *(QuarantineLifted(*key, "over", "bob") for key in KEYS)]
    assert folded(lifted_all).quarantines == ()


@given(said, st.integers(0, 12))
def test_the_fold_of_quarantines_is_a_left_fold(bodies: list[Body], cut: int) -> None:
    events = chained(map(everywhere, bodies))
    assert fold(events) == fold(events[cut:], fold(events[:cut]))


@given(said)
def test_quarantines_change_no_environment_and_environments_no_quarantine(
    bodies: list[Body],
) -> None:
    rolled = [
        line("r1", RolloutStarted(PROD, artifact(1), 2, "")),
        line("r1", Promoted(deployed(1), None)),
    ]
    mixed = fold(chained([rolled[0], *map(everywhere, bodies), rolled[1]]))
    assert mixed.environments["hello", "prod"].stable == deployed(1)
    assert mixed.quarantines == folded(bodies).quarantines
    assert set(mixed.environments) == {("hello", "prod")}


def test_the_chain_holds_over_lines_of_no_service() -> None:
    kind, what = KEYS[2]
    bodies: list[Body] = [
        Quarantined(Quarantine(kind, what, "stolen key", "ada", NOON, None, (("a",),))),
        QuarantineLifted(kind, what, "a false alarm", "bob"),
    ]
    assert verify_chain(chained(map(everywhere, bodies))) is None


def test_whom_a_quarantine_has_replaced_stays_vetted() -> None:
    """It can be gone back to as soon as the quarantine is lifted."""
    promoted = [
        line(f"r{number}", body)
        for number in (1, 2)
        for body in (
            RolloutStarted(PROD, artifact(number), 2, ""),
            Promoted(deployed(number), None),
        )
    ]
    back = RolledBack(deployed(1), "poisoned", "ada", f"artifact {artifact(2).digest}")
    state = fold(chained([*promoted, line("r1", back)])).environments["hello", "prod"]
    assert state.stable == deployed(1)
    assert roll_back_target(state) == (deployed(2),)
    for_what_it_did = replace(back, quarantine="")
    state = fold(chained([*promoted, line("r1", for_what_it_did)])).environments["hello", "prod"]
    assert roll_back_target(state) == ()


def test_a_roll_back_of_before_there_were_quarantines_is_read_as_it_was() -> None:
    body = written(RolledBack(deployed(2), "slow", "ada"))
    old = replace(
        line("r2", RolledBack(deployed(2), "slow", "ada")),
        body={name: value for name, value in body.items() if name != "quarantine"},
    )
    assert body_of(old) == RolledBack(deployed(2), "slow", "ada")
