"""Drift is what differs, all of it and nothing else; what is on its way is none."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.drift.rules import Standing, Wanted, drifts, is_served
from tasks.inspection import (
    Aspect,
    Condition,
    Cure,
    Deed,
    DeedKind,
    DriftKind,
    Inspection,
    NotLooked,
    Route,
    SplitterSeen,
    Stranger,
)
from tasks.model import FleetSpec, FleetStatus, GroupStatus, Health
from tests.support.drifting import (
    NOON,
    SPEC,
    STABLE,
    STATUS,
    TRACES,
    WARM,
    seen,
    tampering,
    with_health,
    with_instance,
)
from tests.support.fleets import DIGESTS, artifact, running, specs, statuses

LATER = NOON + timedelta(minutes=5)
many = settings(max_examples=100, deadline=None)


def kinds(
    status: FleetStatus = STATUS,
    inspection: Inspection | None = None,
    wanted: Wanted | None = None,
) -> list[DriftKind]:
    found = drifts(wanted or Wanted(SPEC), status, inspection or seen(status), {})
    return [one.kind for one in found]


def exec_in(instance: str, words: str = "id") -> Deed:
    return Deed(NOON, DeedKind.EXECUTED, instance, "r2", words)


# ---- nothing is called drift falsely -------------------------------------------------------------


@many
@given(specs(routing=True))
def test_a_fleet_that_is_as_its_spec_says_has_no_drift(spec: FleetSpec) -> None:
    status = FleetStatus(tuple(running(group) for group in spec.groups))
    assert kinds(status, wanted=Wanted(spec)) == []


@pytest.mark.parametrize("health", [Health.STARTING, Health.DRAINING])
def test_an_instance_that_comes_or_goes_is_none(health: Health) -> None:
    """The one that drains is replaced by one more, else it would be missing."""
    status = with_health(STATUS, "r2-0", health)
    if health is Health.DRAINING:
        groups = [running(replace(STABLE, replicas=4)), *STATUS.groups[1:]]
        status = with_health(FleetStatus(tuple(groups)), "r2-0", health)
    assert kinds(status) == []


def test_a_group_that_drains_and_a_warm_one_whose_time_is_over_are_none() -> None:
    spec = FleetSpec((STABLE,))
    draining = with_health(STATUS, "r1-0", Health.DRAINING)
    assert kinds(draining, wanted=Wanted(spec)) == []
    assert kinds(STATUS, wanted=Wanted(spec, tolerated=frozenset({"r1"}))) == []
    assert kinds(STATUS, wanted=Wanted(spec)) == [DriftKind.NOT_WANTED]


def test_routes_of_instances_that_are_missing_are_no_drift_of_their_own() -> None:
    gone = replace(STATUS.groups[0], instances=STATUS.groups[0].instances[1:])
    status = FleetStatus((gone, STATUS.groups[1]))
    assert kinds(status, seen(status, splitter=seen().splitter)) == [DriftKind.MISSING]


# ---- all of it is found, where it is -------------------------------------------------------------


@many
@given(tampering())
def test_every_trace_is_found_at_its_instance_and_at_no_other(done: dict[str, str]) -> None:
    inspection = seen()
    for name, how in done.items():
        inspection = with_instance(inspection, name, **TRACES[how])
    found = drifts(Wanted(SPEC), STATUS, inspection, {})
    assert {one.instance for one in found} - {""} == set(done)
    assert all(one.cure in (Cure.REPLACE, Cure.CONVERGE) for one in found)


@many
@given(specs(routing=True).flatmap(lambda spec: st.tuples(st.just(spec), statuses(spec))))
def test_whatever_is_there_drift_is_found_if_the_fleet_serves_otherwise_than_wanted(
    scene: tuple[FleetSpec, FleetStatus],
) -> None:
    spec, status = scene
    differs = any(
        (there := status.group(group.name)) is None
        or there.artifact.digest != group.artifact.digest
        or there.weight != group.weight
        for group in spec.groups
    )
    found = kinds(status, wanted=Wanted(spec))
    assert not differs or found != []


def test_the_time_and_doer_of_a_change_are_those_of_the_deed() -> None:
    deed = Deed(LATER, DeedKind.UPDATED, "r2-0", "r2", "", "ada")
    changed = with_instance(seen(deeds=(deed,)), "r2-0", **TRACES["settings"])
    (found,) = drifts(Wanted(SPEC), STATUS, changed, {})
    assert (found.kind, found.since, found.who) == (DriftKind.SETTINGS, LATER, "ada")
    assert (found.found, found.should) == ("Memory is 2", "1")


def test_what_was_changed_and_changed_back_was_still_somebody() -> None:
    deed = Deed(LATER, DeedKind.UPDATED, "r2-0", "r2")
    assert kinds(inspection=seen(deeds=(deed,))) == [DriftKind.TOUCHED]


def test_the_same_command_run_often_is_told_once_with_its_first_time() -> None:
    deeds = tuple(replace(exec_in("r2-0"), at=NOON + timedelta(seconds=n)) for n in range(9))
    (found,) = drifts(Wanted(SPEC), STATUS, seen(deeds=deeds[::-1]), {})
    assert (found.since, found.found) == (NOON, "a command was run in it: id")


def test_a_removed_instance_is_missing_since_it_was_removed() -> None:
    gone = replace(STATUS.groups[0], instances=STATUS.groups[0].instances[1:])
    removed = Deed(LATER, DeedKind.REMOVED, "r2-0", "r2")
    status = FleetStatus((gone, STATUS.groups[1]))
    (found,) = drifts(Wanted(SPEC), status, seen(status, deeds=(removed,)), {})
    assert (found.kind, found.since) == (DriftKind.MISSING, LATER)
    assert found.found == "2 of 3 are there; r2-0 was removed"


def test_a_forged_instance_fills_no_gap() -> None:
    forged = with_instance(seen(), "r2-0", **TRACES["forgery"])
    assert kinds(inspection=forged) == [DriftKind.MISSING, DriftKind.FORGED]


def test_an_instance_that_says_another_digest_than_its_groups_is_another_image() -> None:
    other = with_instance(seen(), "r2-0", digest=DIGESTS[2])
    assert DriftKind.IMAGE in kinds(inspection=other)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"weight": 60}, DriftKind.WEIGHTS),
        ({"artifact": artifact(DIGESTS[2])}, DriftKind.WRONG_ARTIFACT),
        ({"instances": running(replace(STABLE, replicas=5)).instances}, DriftKind.SURPLUS),
    ],
)
def test_what_spec_and_status_differ_in_is_found(
    change: dict[str, object], kind: DriftKind
) -> None:
    group: GroupStatus = replace(STATUS.groups[0], **change)  # type: ignore[arg-type]
    status = FleetStatus((group, STATUS.groups[1]))
    assert kind in kinds(status)


def test_a_route_to_somebody_else_and_a_file_of_somebody_else_are_found() -> None:
    splitter = seen().splitter
    assert splitter
    tampered = replace(
        splitter,
        routes=(*splitter.routes, Route("r2", "r2-9", "203.0.113.9:80")),
        foreign_files=("rds.json",),
    )
    found = drifts(Wanted(SPEC), STATUS, seen(splitter=tampered), {})
    assert [one.kind for one in found] == [DriftKind.ROUTES, DriftKind.SPLITTER_FILES]
    assert {one.cure for one in found} == {Cure.REROUTE}


def test_a_splitter_that_does_not_run_is_one_drift_not_many() -> None:
    status = FleetStatus(tuple(replace(group, weight=0) for group in STATUS.groups))
    gone = seen(status, splitter=SplitterSeen(runs=False))
    assert kinds(status, gone) == [DriftKind.SPLITTER_GONE]


def test_a_left_rollout_is_told_instead_of_what_it_left() -> None:
    found = kinds(FleetStatus(), seen(FleetStatus()), Wanted(SPEC, unfinished="r3"))
    assert found == [DriftKind.UNFINISHED]


def test_a_stranger_is_a_persons_to_judge_and_its_way_out_is_told() -> None:
    stranger = Stranger("miner", "an image", NOON, "docker network disconnect -f n miner")
    (found,) = drifts(Wanted(SPEC), STATUS, seen(strangers=(stranger,)), {})
    assert (found.kind, found.cure) == (DriftKind.FOREIGN, Cure.PERSON)
    assert stranger.way_out in found.advice


def test_a_quarantine_is_gone_back_from_and_a_refusal_is_a_persons() -> None:
    digest = STABLE.artifact.digest
    for standing, kind, cure in (
        (Standing(quarantined="stolen key"), DriftKind.QUARANTINED, Cure.GO_BACK),
        (Standing(refused="too old"), DriftKind.NOT_ADMITTED, Cure.PERSON),
        (Standing("stolen key", "too old"), DriftKind.QUARANTINED, Cure.GO_BACK),
    ):
        (found,) = drifts(Wanted(SPEC), STATUS, seen(), {digest: standing})
        assert (found.kind, found.cure, found.group) == (kind, cure, "r2")


# ---- what an earlier look knew -------------------------------------------------------------------


def test_who_was_at_an_instance_stays_known_as_long_as_it_lives() -> None:
    known = drifts(Wanted(SPEC), STATUS, seen(deeds=(exec_in("r2-0"),)), {})
    assert drifts(Wanted(SPEC), STATUS, seen(), {}, known) == known
    replaced = with_instance(seen(), "r2-0", name="r2-7")
    assert drifts(Wanted(SPEC), STATUS, replaced, {}, known) == ()


def test_what_cannot_be_looked_at_now_stays_as_it_was_known() -> None:
    known = drifts(Wanted(SPEC), STATUS, with_instance(seen(), "r2-0", **TRACES["files"]), {})
    blind = seen(not_looked=(NotLooked(Aspect.FILES, "it did not answer", "r2-0"),))
    assert drifts(Wanted(SPEC), STATUS, blind, {}, known) == known
    other = seen(not_looked=(NotLooked(Aspect.FILES, "it did not answer", "r2-1"),))
    assert drifts(Wanted(SPEC), STATUS, other, {}, known) == ()
    assert drifts(Wanted(SPEC), STATUS, seen(), {}, known) == ()


# ---- is anybody served ---------------------------------------------------------------------------


def test_users_are_served_by_who_is_ready_and_routed_to() -> None:
    assert is_served(SPEC, STATUS)
    assert not is_served(SPEC, FleetStatus())
    unrouted = FleetStatus(tuple(replace(group, weight=0) for group in STATUS.groups))
    assert not is_served(SPEC, unrouted)
    assert is_served(FleetSpec(), FleetStatus())


def test_an_instance_that_ended_by_itself_says_how() -> None:
    ended = with_instance(
        seen(), "r2-0", condition=Condition.ENDED, detail="ended with exit code 1", since=LATER
    )
    found = drifts(Wanted(SPEC), with_health(STATUS, "r2-0", Health.DEAD), ended, {})
    (one,) = [one for one in found if one.kind is DriftKind.ENDED]
    assert one.found == "ended with exit code 1 (nobody was seen to stop it)"
    assert one.since == LATER
    assert WARM.name not in {each.group for each in found}
