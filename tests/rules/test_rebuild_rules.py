"""Which services are stale, in which order they are rebuilt, and what is begun next."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import InvalidInputError
from tasks.evidence import Finding, FindingKind, Severity
from tasks.policy import RebuildRule
from tasks.rebuild.ancestry import parents_of
from tasks.rebuild.order import begin_next, in_order
from tasks.rebuild.outcome import gone, next_name, outcome_of, share_of
from tasks.rebuild.rules import BaseNow, Standing, followed, plan
from tasks.references import BaseUsed
from tasks.stale import Rebuilt, Stale

NOW = datetime(2026, 11, 30, 3, tzinfo=UTC)
OLD, NEW = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
WRITTEN = f"r.io/base:12@{OLD}"


def base(
    digest: str = OLD,
    *,
    age_hours: float = 100,
    unread: str = "",
    maker: str = "",
    vetted: bool = True,
) -> BaseNow:
    used = BaseUsed(WRITTEN, "r.io/base", "12", OLD)
    return BaseNow(used, digest, NOW - timedelta(hours=age_hours), unread, maker, vetted)


def finding(name: str, severity: Severity = Severity.HIGH, fixed: str = "1.1") -> Finding:
    kind = FindingKind.VULNERABILITY
    return Finding(kind, name, severity, "leaky", "1.0", fixed, "")


def service(
    name: str = "hello",
    *bases: BaseNow,
    layers: tuple[str, ...] = (),
    findings: tuple[Finding, ...] = (),
    days: float = 1,
    fetches: bool = False,
    rule: RebuildRule = RebuildRule(),  # noqa: B008
    min_age: float = 0,
    trusted: tuple[str, ...] = (),
) -> Standing:
    return Standing(
        *(name, "r1", f"digest of {name}", layers, frozenset({f"digest of {name}"})),
        *(bases, findings, NOW - timedelta(days=days), fetches, rule),
        min_age=timedelta(hours=min_age),
        trusted=trusted,
    )


def names(*services: Standing) -> list[str]:
    return [one.service for one in plan(services, NOW).stale]


# ---- what is stale -------------------------------------------------------------------------------


def test_what_did_not_move_is_not_stale() -> None:
    assert plan([service("hello", base())], NOW) == plan([], NOW)


def test_a_moved_base_is_a_reason_and_is_followed() -> None:
    moved = service("hello", base(NEW))
    (stale,) = plan([moved], NOW).stale
    assert stale.reasons == (f"its base r.io/base:12 moved to {NEW[:19]}",)
    assert followed(moved, NOW) == {WRITTEN: NEW}


def test_a_base_that_is_too_young_waits_and_that_is_told() -> None:
    young = service("hello", base(NEW, age_hours=47), min_age=48)
    told = plan([young], NOW)
    assert (told.stale, followed(young, NOW)) == ((), {})
    assert told.notes == (
        f"hello: r.io/base:12 moved to {NEW[:19]}; it may be followed from 2026-11-30 04:00 UTC on",
    )


@pytest.mark.parametrize("changed", [{"age_hours": 48}, {"maker": "parent"}])
def test_what_is_old_enough_or_made_here_does_not_wait(changed: dict[str, object]) -> None:
    assert names(service("hello", base(NEW, **changed), min_age=48)) == ["hello"]  # type: ignore[arg-type]


def test_what_the_policy_trusts_does_not_wait() -> None:
    assert names(service("hello", base(NEW, age_hours=0), min_age=48, trusted=(NEW,))) == ["hello"]


def test_what_was_taken_back_from_its_maker_is_not_followed() -> None:
    told = plan([service("hello", base(NEW, maker="parent", vetted=False))], NOW)
    assert told.stale == ()
    assert "parent was taken back from it" in told.notes[0]


def test_a_tag_that_could_not_be_read_is_no_reason_and_is_told() -> None:
    told = plan([service("hello", base("", unread="no answer"))], NOW)
    assert told.stale == ()
    assert told.notes == ("hello: what r.io/base:12 is now could not be told: no answer",)


def test_a_fix_is_a_reason_where_building_anew_can_bring_it() -> None:
    found = (finding("CVE-1"), finding("CVE-2", Severity.CRITICAL), finding("CVE-3", fixed=""))
    (stale,) = plan([service(findings=found, fetches=True)], NOW).stale
    assert stale.fixable == ("CVE-2", "CVE-1")
    assert "CVE-2 (CRITICAL) in leaky (fixed in 1.1), CVE-1 (HIGH)" in stale.reasons[0]


def test_a_fix_that_no_rebuild_brings_is_told_and_is_no_reason() -> None:
    told = plan([service(findings=(finding("CVE-1"),))], NOW)
    assert told.stale == ()
    assert "no rebuild of this commit mends CVE-1" in told.notes[0]


def test_a_fix_of_a_severity_that_does_not_count_is_none() -> None:
    low = service(findings=(finding("CVE-1", Severity.LOW),), fetches=True)
    assert plan([low], NOW) == plan([], NOW)


@pytest.mark.parametrize(("days", "is_stale"), [(29, False), (31, True)])
def test_what_is_too_old_is_stale(days: float, is_stale: bool) -> None:
    assert bool(names(service(days=days, rule=RebuildRule(max_age_days=30)))) is is_stale


def test_whoever_follows_what_is_rebuilt_is_rebuilt_after_it() -> None:
    parent = service("parent", base(NEW), layers=("a",))
    child = service("child", base(maker="parent"), layers=("a", "b"))
    bystander = service("bystander", base(), layers=("c",))
    pinned = service("pinned", layers=("a", "p"))
    told = plan([child, bystander, pinned, parent], NOW)
    assert [(one.service, one.after) for one in told.stale] == [
        ("parent", ()),
        ("child", ("parent",)),
    ]


def test_one_service_is_rebuilt_with_what_it_stands_on_and_nothing_else() -> None:
    parent = service("parent", base(NEW), layers=("a",))
    child = service("child", base(maker="parent"), layers=("a", "b"))
    other = service("other", base(NEW), layers=("c",))
    stale = plan([parent, child, other], NOW, "child").stale
    assert [one.service for one in stale] == ["parent", "child"]


# ---- ancestry ------------------------------------------------------------------------------------


def test_who_stands_on_whom_is_told_from_layers_and_from_the_digests_they_name() -> None:
    assert parents_of(
        {
            "base": (("a",), frozenset({"1"}), frozenset()),
            "middle": (("a", "b"), frozenset({"2"}), frozenset()),
            "top": (("x",), frozenset({"3"}), frozenset({"2"})),
            "twin": (("a",), frozenset({"4"}), frozenset()),
        }
    ) == {
        "base": frozenset(),
        "middle": {"base", "twin"},
        "top": {"middle"},
        "twin": frozenset(),
    }


@st.composite
def forests(draw: st.DrawFn) -> list[Stale]:
    """Each stands on some of those before it; given in any order."""
    count = draw(st.integers(1, 8))
    made = []
    for number in range(count):
        after = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        above = tuple(f"s{one}" for one in sorted(after))
        made.append(Stale(f"s{number}", ("why",), above, batch=draw(st.integers(0, 2))))
    return draw(st.permutations(made))


@given(forests())
def test_parents_come_before_children_and_nobody_is_lost(forest: list[Stale]) -> None:
    ordered = in_order(forest, {})
    assert {one.service for one in ordered} == {one.service for one in forest}
    place = {one.service: number for number, one in enumerate(ordered)}
    for one in ordered:
        assert all(place[above] < place[one.service] for above in one.after)
    assert [one.batch for one in ordered] == sorted(one.batch for one in ordered)


def test_the_worst_come_first_among_equals() -> None:
    three = [Stale(name, ()) for name in ("a", "b", "c")]
    assert [one.service for one in in_order(three, {"b": -4, "c": -1})] == ["b", "c", "a"]


def test_a_circle_is_refused_with_its_names() -> None:
    circle = [Stale("a", (), ("b",)), Stale("b", (), ("a",)), Stale("c", ())]
    with pytest.raises(InvalidInputError, match="a, b stand on each other in a circle"):
        in_order(circle, {})


# ---- what is begun next --------------------------------------------------------------------------


@settings(max_examples=50)
@given(forests(), st.integers(1, 4), st.data())
def test_everyone_is_done_once_in_turn_and_never_more_at_once_than_allowed(
    forest: list[Stale], at_once: int, data: st.DataObject
) -> None:
    stale = in_order(forest, {})
    batches = {one.service: one.batch for one in stale}
    done: dict[str, Rebuilt] = {}
    running: dict[str, Stale] = {}
    while len(done) < len(stale):
        turn = begin_next(stale, done, running.keys(), at_once)
        assert turn.begin or turn.skip or running, "it must go on"
        for one, _ in turn.skip:
            assert any(done.get(above) in (Rebuilt.FAILED, Rebuilt.SKIPPED) for above in one.after)
            done[one.service] = Rebuilt.SKIPPED
        for one in turn.begin:
            assert all(done[above] is Rebuilt.PATCHED for above in one.after)
            lower = {name for name, batch in batches.items() if batch < one.batch}
            assert lower <= done.keys()
            running[one.service] = one
        assert len(running) <= at_once
        if running:
            name = data.draw(st.sampled_from(sorted(running)))
            del running[name]
            done[name] = data.draw(st.sampled_from([Rebuilt.PATCHED, Rebuilt.FAILED]))


def follower(name: str, above: str | None, moves: bool) -> Standing:
    """On a base that moves or not, or on what another made: layers say the same."""
    if above is None:
        return service(name, base(NEW if moves else OLD), layers=(f"base {moves}", name))
    used = BaseUsed(f"r.io/{above}:p@{above}", f"r.io/{above}", "p", f"digest of {above}")
    return service(name, BaseNow(used, used.digest, NOW, "", above), layers=(name,))


@given(st.lists(st.tuples(st.booleans(), st.integers(-6, 30)), min_size=1, max_size=15))
def test_exactly_the_affected_are_chosen(world: list[tuple[bool, int]]) -> None:
    """Those on the base that moved, and all that stand on them at any distance; by an independent reckoning."""
    parents: Mapping[int, int | None] = {
        number: above if 0 <= above < number else None for number, (_, above) in enumerate(world)
    }
    services = [
        follower(f"s{number}", None if (above := parents[number]) is None else f"s{above}", moves)
        for number, (moves, _) in enumerate(world)
    ]

    def root(number: int) -> int:
        above = parents[number]
        return number if above is None else root(above)

    affected = {f"s{number}" for number in range(len(world)) if world[root(number)][0]}
    assert set(names(*services)) == affected


# ---- outcomes ------------------------------------------------------------------------------------


def test_what_became_of_it_is_told_by_the_digest_that_serves() -> None:
    assert outcome_of(OLD, NEW, "")[0] is Rebuilt.PATCHED
    assert outcome_of(OLD, NEW, "it broke later") == (
        Rebuilt.PATCHED,
        f"{NEW[:19]} serves instead of {OLD[:19]}; but then: it broke later",
    )
    assert outcome_of(OLD, OLD, "")[0] is Rebuilt.UNCHANGED
    assert outcome_of(OLD, OLD, "no") == (Rebuilt.FAILED, "no")


def test_each_rebuild_has_a_name_of_its_own() -> None:
    assert next_name([], "2026-11-30") == "rebuild-2026-11-30"
    assert next_name(["rebuild-2026-11-30"], "2026-11-30") == "rebuild-2026-11-30-2"


def test_only_what_is_not_found_any_more_is_gone() -> None:
    assert gone(["a", "b", "b"], ["a", "c"]) == ("b",)


@given(st.text())
def test_the_share_of_the_jitter_is_one_and_the_same_and_never_more_than_all(seed: str) -> None:
    assert 0 <= share_of(seed) == share_of(seed) < 1
