"""The flow `drift`, against the platform in memory: what was tampered with is reported, and replaced if told to."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.command_drift import exit_of
from flows.drift import drift
from flows.drifting import EnvironmentDrift, Outcome
from flows.quarantining import add, target_of
from flows.status import statuses
from flows.tenure import tenure
from tasks import platforms
from tasks.adapters.memory import MemoryScanner
from tasks.adapters.memory_inspection import Tampering
from tasks.drift.remedy import BREAKER
from tasks.inspection import (
    ChangedSetting,
    Condition,
    Deed,
    DeedKind,
    DriftKind,
    InstanceSeen,
    Route,
    Stranger,
)
from tasks.journal.rules import Body, DriftFound, DriftLeft, Healed, body_of
from tasks.model import Health, ReplaceInstances
from tests.flows.scene import Scene, make_scene
from tests.support.trivy_db import write_database

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, prefect_api: str) -> Iterator[Scene]:
    """Released once: a release takes longer than what is tried with it."""
    with pytest.MonkeyPatch.context() as patched:
        scene = make_scene(tmp_path_factory.mktemp("drift"), "drifting")
        patched.setattr(platforms, "scanner", lambda say=None: MemoryScanner(scene.world))
        write_database(platforms.home() / "trivy" / "db", datetime.now(UTC))
        scene.edit(warm_seconds=0, strategy={"kind": "all-at-once"})
        scene.release()
        yield scene


@pytest.fixture
def released(made: Scene) -> Iterator[Scene]:
    """As it should be before, and after whatever was done."""
    yield made
    made.world.tampering.clear()
    assert look(made, heal=True).outcome is Outcome.AS_IT_SHOULD_BE


def since(scene: Scene) -> int:
    """How many lines its journal has: what was told before is another test's."""
    return len(platforms.journal().events(scene.name))


def told(scene: Scene, kind: type[Body], after: int) -> list[Any]:
    bodies = [body_of(event) for event in platforms.journal().events(scene.name)[after:]]
    return [body for body in bodies if isinstance(body, kind)]


def names(scene: Scene) -> list[str]:
    return sorted(one.name for group in scene.status().groups for one in group.instances)


def look(scene: Scene, heal: bool = False) -> EnvironmentDrift:
    (found,) = drift(scene.name, heal)
    return found


def kinds(found: EnvironmentDrift) -> list[DriftKind]:
    return [one.kind for one in found.drift]


def change(scene: Scene, instance: str, name: str) -> None:
    """As `docker update` would; it stays as long as the instance does. Each test has a setting of its own: what is healed too
    often is left alone."""
    setting = ChangedSetting(name, 1, 2)
    seen = InstanceSeen(instance, scene.status().groups[0].name, settings=(setting,))
    scene.world.tampering[scene.here] = Tampering({instance: seen})


def test_what_nobody_touched_is_as_it_should_be_and_leaves_no_line_in_the_journal(
    released: Scene,
) -> None:
    before = since(released)
    found = look(released)
    assert (found.outcome, found.drift) == (Outcome.AS_IT_SHOULD_BE, ())
    assert since(released) == before
    assert exit_of([found]) == 0


def test_a_changed_instance_is_reported_once_in_the_journal_and_not_replaced(
    released: Scene,
) -> None:
    lines = since(released)
    before = names(released)
    change(released, before[0], "Memory")
    for _ in range(3):
        found = look(released)
        assert kinds(found) == [DriftKind.SETTINGS]
        assert exit_of([found]) == 6
    assert names(released) == before
    assert [body.drift for body in told(released, DriftFound, lines)] == [found.drift]
    (report,) = statuses(released.name)
    assert any("drift" in one and "Memory is 2" in one for one in report.problems)


def test_healing_replaces_exactly_the_changed_instance_after_a_fresh_one_is_ready(
    released: Scene,
) -> None:
    lines = since(released)
    changed, other = names(released)
    change(released, changed, "CapAdd")
    ready: list[int] = []
    released.world.watch = lambda before, after: ready.append(after.groups[0].ready)
    found = look(released, heal=True)
    released.world.watch = lambda before, after: None
    assert (found.outcome, found.drift) == (Outcome.AS_IT_SHOULD_BE, ())
    assert [one.instance for one in found.healed] == [changed]
    assert other in names(released)
    assert changed not in names(released)
    assert len(names(released)) == 2
    assert min(ready) >= 2, "at no moment fewer than wanted"
    (healed,) = told(released, Healed, lines)
    assert healed.cured == (f"SETTINGS/{released.status().groups[0].name}/CapAdd",)
    assert [bool(body.drift) for body in told(released, DriftFound, lines)] == [True, False]


def test_what_comes_back_after_every_heal_is_left_to_people_and_that_is_said_once(
    released: Scene,
) -> None:
    lines = since(released)
    for _ in range(BREAKER.times):
        change(released, names(released)[0], "Env")
        assert look(released, heal=True).outcome is Outcome.AS_IT_SHOULD_BE
    kept = names(released)
    change(released, kept[0], "Env")
    for _ in range(2):
        found = look(released, heal=True)
        assert kinds(found) == [DriftKind.SETTINGS]
        assert [one.times for one in found.left] == [BREAKER.times]
    assert names(released) == kept
    assert len(told(released, DriftLeft, lines)) == 1


def test_who_was_at_an_instance_stays_known_when_the_platform_has_forgotten_it(
    released: Scene,
) -> None:
    touched = names(released)[1]
    group = released.status().groups[0].name
    deed = Deed(NOON, DeedKind.EXECUTED, touched, group, "sh -c id", "ada")
    released.world.tampering[released.here] = Tampering(deeds=(deed,))
    assert kinds(look(released)) == [DriftKind.TOUCHED]
    released.world.tampering.clear()
    found = look(released)
    assert [(one.instance, one.since, one.who) for one in found.drift] == [(touched, NOON, "ada")]
    assert look(released, heal=True).outcome is Outcome.AS_IT_SHOULD_BE
    assert touched not in names(released)
    assert look(released).outcome is Outcome.AS_IT_SHOULD_BE


def test_a_dead_and_a_paused_instance_are_replaced(released: Scene) -> None:
    dead, paused = names(released)
    group = released.status().groups[0].name
    released.world.set_health(released.here, dead, Health.DEAD)
    released.world.set_health(released.here, paused, Health.UNREADY)
    seen = InstanceSeen(paused, group, Condition.PAUSED)
    released.world.tampering[released.here] = Tampering({paused: seen})
    assert kinds(look(released)) == [DriftKind.ENDED, DriftKind.PAUSED]
    found = look(released, heal=True)
    assert (found.outcome, len(found.healed)) == (Outcome.AS_IT_SHOULD_BE, 2)
    assert not {dead, paused} & set(names(released))


def test_a_stranger_in_the_network_is_told_and_never_stopped(released: Scene) -> None:
    stranger = Stranger("miner", "busybox", NOON, "docker network disconnect -f n miner")
    released.world.tampering[released.here] = Tampering(strangers=(stranger,))
    applied = len(released.world.applied)
    found = look(released, heal=True)
    assert kinds(found) == [DriftKind.FOREIGN]
    assert "docker network disconnect -f n miner" in found.drift[0].advice
    assert len(released.world.applied) == applied


def test_routes_and_files_that_are_not_ours_are_written_anew(released: Scene) -> None:
    group = released.status().groups[0].name
    released.world.tampering[released.here] = Tampering(
        routes=(Route(group, "x", "203.0.113.1:80"),), foreign_files=("rds.json",)
    )
    before, kept = len(released.world.applied), names(released)
    found = look(released, heal=True)
    assert [one.kind for one in found.healed] == [
        DriftKind.ROUTES,
        DriftKind.SPLITTER_FILES,
    ]
    actions = released.world.applied[before:]
    assert not any(isinstance(one, ReplaceInstances) for one in actions)
    assert len(actions) == 1
    assert names(released) == kept


def test_an_environment_that_somebody_changes_is_not_called_drifted(released: Scene) -> None:
    lines = since(released)
    change(released, names(released)[0], "User")
    for heal in (False, True):
        with tenure(platforms.journal(), released.name, "production", "rollout of r2"):
            found = look(released, heal)
        assert (found.outcome, found.drift) == (Outcome.BUSY, ())
        assert "rollout of r2" in found.words
        assert exit_of([found]) == 0
    assert told(released, DriftFound, lines) == []


def test_what_cannot_be_looked_at_is_said_and_is_not_well(released: Scene) -> None:
    released.world.tampering[released.here] = Tampering(outage="a broken engine")
    found = look(released)
    assert found.outcome is Outcome.NOT_LOOKED
    assert "a broken engine" in found.words
    assert exit_of([found]) == 5


def test_a_quarantined_artifact_is_gone_back_from_only_when_healed(released: Scene) -> None:
    first = released.state().stable
    second = released.write("2")
    released.release()
    add(target_of(second.digest, "", ""), "stolen key", None)
    found = look(released)
    assert kinds(found) == [DriftKind.QUARANTINED]
    healed = look(released, heal=True)
    stable = released.state().stable
    assert first
    assert stable
    assert stable.artifact == first.artifact
    assert healed.outcome is Outcome.AS_IT_SHOULD_BE
    assert [one.kind for one in healed.healed] == [DriftKind.QUARANTINED]


def test_what_may_not_start_any_more_runs_on_and_its_changed_instance_is_kept(
    released: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To stop it would leave fewer than wanted, and to start one more is not allowed."""
    kept = names(released)
    change(released, kept[0], "Tty")
    (tmp_path / "default.yaml").write_text("promoted_in: [elsewhere]\n")
    monkeypatch.setenv("BAKEWELL_POLICIES", str(tmp_path))
    found = look(released, heal=True)
    assert set(kinds(found)) == {DriftKind.SETTINGS, DriftKind.NOT_ADMITTED}
    assert "may not start" in found.words
    assert names(released) == kept
