"""What is mended without a person, and what is left as somebody may have meant it."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tasks.drift.mending import (
    LONGEST_PAUSE_SECONDS,
    losses,
    pause_seconds,
    spec_for_mending,
    status_for_mending,
)
from tasks.errors import RefusedError
from tasks.inspection import DriftKind
from tasks.model import EnsureGroup, FleetSpec, FleetStatus, Health, ReplaceInstances, ShiftTraffic
from tasks.rollout.rules import plan
from tests.support.drifting import SPEC, STABLE, STATUS
from tests.support.fleets import ALL, DIGESTS, artifact, running, specs, statuses

SERVED = replace(STATUS, endpoint="http://127.0.0.1:8080")


def with_health(status: FleetStatus, **healths: Health) -> FleetStatus:
    """`r2_0=Health.DEAD`; `_` is written for `-`."""
    named = {name.replace("_", "-"): health for name, health in healths.items()}
    groups = (
        replace(
            group,
            instances=tuple(
                replace(one, health=named.get(one.name, one.health)) for one in group.instances
            ),
        )
        for group in status.groups
    )
    return replace(status, groups=tuple(groups))


def kinds(status: FleetStatus) -> list[DriftKind]:
    return [one.kind for one in losses(SPEC, status)]


def test_nothing_is_lost_where_everything_serves() -> None:
    assert losses(SPEC, SERVED) == ()


def test_after_a_reboot_everything_is_lost() -> None:
    gone = [DriftKind.MISSING, DriftKind.MISSING, DriftKind.SPLITTER_GONE]
    assert kinds(with_nobody(STATUS)) == gone


def test_what_never_ran_here_is_not_started_here() -> None:
    """It may run on another machine, with the same journal."""
    assert losses(SPEC, FleetStatus()) == ()
    older = running(replace(STABLE, name="r0", weight=0))
    assert losses(SPEC, FleetStatus((older,))) == (), "it went on elsewhere"


def with_nobody(status: FleetStatus) -> FleetStatus:
    groups = (replace(group, instances=(), weight=0) for group in status.groups)
    return replace(status, groups=tuple(groups))


def test_who_died_is_lost_whether_the_platform_still_shows_it_or_not() -> None:
    dead = with_health(SERVED, r2_0=Health.DEAD)
    (lost,) = losses(SPEC, dead)
    assert (lost.kind, lost.group, lost.found) == (DriftKind.MISSING, "r2", "2 of 3 serve")
    buried = status_for_mending(SPEC, dead)
    without = replace(
        buried.groups[0],
        instances=tuple(one for one in buried.groups[0].instances if one.health is Health.READY),
    )
    assert losses(SPEC, replace(dead, groups=(without, *dead.groups[1:]))) == (lost,)


def test_a_start_that_somebody_left_half_done_is_finished() -> None:
    assert kinds(with_health(SERVED, r2_0=Health.STARTING)) == [DriftKind.MISSING]


def test_who_hangs_is_left_to_people_as_long_as_others_serve() -> None:
    assert losses(SPEC, with_health(SERVED, r2_0=Health.UNREADY)) == ()
    all_hang = with_health(SERVED, r2_0=Health.UNREADY, r2_1=Health.UNREADY, r2_2=Health.UNREADY)
    assert kinds(all_hang) == [DriftKind.MISSING]


def test_beside_one_that_hangs_only_who_died_is_started() -> None:
    status = with_health(SERVED, r2_0=Health.UNREADY, r2_1=Health.DEAD)
    spec = spec_for_mending(SPEC, status)
    group = spec.group("r2")
    assert group is not None
    assert group.replicas == 2
    actions = plan(spec, status_for_mending(spec, status), ALL)
    assert actions == (EnsureGroup(group), ReplaceInstances(group, ("r2-1",)))


def test_other_bytes_under_a_wanted_name_are_nobodys_death() -> None:
    forged = running(replace(STABLE, artifact=artifact(DIGESTS[2])))
    assert losses(SPEC, replace(SERVED, groups=(forged,))) == ()


def test_weights_that_somebody_set_stay_where_traffic_flows() -> None:
    shifted = (replace(SERVED.groups[0], weight=40), replace(SERVED.groups[1], weight=60))
    status = replace(SERVED, groups=shifted)
    assert losses(SPEC, status) == ()
    assert plan(SPEC, status_for_mending(SPEC, status), ALL) == ()


def test_a_splitter_that_is_gone_gets_the_weights_of_the_journal() -> None:
    unrouted = tuple(replace(group, weight=0) for group in STATUS.groups)
    status = FleetStatus(unrouted)
    assert kinds(status) == [DriftKind.SPLITTER_GONE]
    actions = plan(SPEC, status_for_mending(SPEC, status), ALL)
    assert actions == (ShiftTraffic((("r2", 100),)),)


@given(st.data())
def test_whatever_is_there_nobody_who_serves_or_hangs_is_stopped_and_no_other_group_touched(
    data: st.DataObject,
) -> None:
    wanted = data.draw(specs(routing=True))
    found = replace(
        data.draw(statuses(wanted)), endpoint=data.draw(st.sampled_from(["", "http://u"]))
    )
    if not losses(wanted, found):
        return
    spec = spec_for_mending(wanted, found)
    try:
        actions = plan(spec, status_for_mending(spec, found), ALL)
    except RefusedError:
        return  # nothing was done
    dead = {
        one.name
        for group in found.groups
        for one in group.instances
        if one.health in (Health.DEAD, Health.STARTING)
    }
    for action in actions:
        match action:
            case EnsureGroup(group):
                asked = wanted.group(group.name)
                assert asked is not None
                assert group.replicas <= asked.replicas
            case ReplaceInstances(_, names):
                assert set(names) <= dead
            case ShiftTraffic(weights):
                assert {name for name, _ in weights} <= set(wanted.weights)
            case _:
                raise AssertionError(f"{action} takes something away")


def test_tries_in_vain_become_seldom_and_never_end() -> None:
    pauses = [pause_seconds(times) for times in range(1, 9)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (15.0, LONGEST_PAUSE_SECONDS)


def test_no_weights_need_no_splitter() -> None:
    quiet = FleetSpec((replace(STABLE, weight=0),))
    assert losses(quiet, FleetStatus((running(replace(STABLE, weight=0)),))) == ()
