"""The way back: killed anywhere, asked for again, shown again: each time users end where they were to go, and no further."""

import httpx
import pytest

from flows.going_back import roll_back
from flows.heal import heal
from flows.rollback import rollback, show_rolled_back
from flows.story import overheard, tell
from tasks import platforms
from tasks.adapters.memory_faults import Moment
from tasks.errors import NotFoundError, TransientError
from tasks.journal.events import RolledBack, RolloutStarted, StepStarted, Withdrawn
from tasks.journal.rules import record
from tasks.model import FleetSpec, Gate, Group, Role, Step
from tasks.rollout.converge import converge
from tests.flows.scene import Scene


def released(scene: Scene, versions: int) -> None:
    """r1, r2, … were good, and the last of them serves."""
    scene.edit(strategy={"kind": "all-at-once"}, policy="offline")
    for version in range(1, 1 + versions):
        scene.write(str(version))
        scene.release()


def targets(scene: Scene) -> list[str]:
    return [one.to.release for one in scene.told(RolledBack)]


def test_a_roll_back_that_was_killed_half_way_is_finished_by_the_next_and_not_done_twice(
    scene: Scene,
) -> None:
    released(scene, 3)
    killed_at_action(scene, 1)  # before users were moved
    assert scene.weights()["r3"] == 100
    with overheard() as story:
        assert roll_back(scene.name, "production", "it was slow").release == "r2"
    assert any("To go back further, ask again" in line for line in story)
    assert (targets(scene), scene.weights()) == (["r2"], {"r2": 100})
    killed_at_action(scene, 3)  # before what they were moved away from was stopped
    assert scene.weights() == {"r1": 100, "r2": 0}
    assert roll_back(scene.name, "production", "worse still").release == "r1"
    assert (targets(scene), scene.weights()) == (["r2", "r1"], {"r1": 100})


def killed_at_action(scene: Scene, nth: int) -> None:
    scene.world.fail(nth, Moment.BEFORE, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        roll_back(scene.name, "production", "it was slow")
    scene.world.calm()


def test_healing_finishes_it_too_and_prefect_can_be_shown_it_again_and_again(
    scene: Scene, prefect_api: str
) -> None:
    """The flow as the UI starts it fails half way; Prefect says so, and whoever comes next goes on."""
    released(scene, 2)
    scene.world.fail(1, Moment.BEFORE, TransientError("the platform does not answer"))
    with pytest.raises(TransientError, match="does not answer"):
        rollback(scene.name, "production")
    scene.world.calm()
    assert [done for _, done in heal(scene.name)] != ["as it should be"]
    assert scene.weights() == {"r1": 100}
    for _ in range(2):
        show_rolled_back(scene.name, "production", "slow", "r1", ["r2 was rolled back to r1"])
    assert (targets(scene), scene.weights()) == (["r1"], {"r1": 100})
    wanted = {
        "flow_runs": {"tags": {"all_": [f"service:{scene.name}"]}},
        "flows": {"name": {"any_": ["rollback"]}},
    }
    runs = httpx.post(f"{prefect_api}/flow_runs/filter", json=wanted).json()
    assert sorted(run["state_type"] for run in runs) == ["COMPLETED", "COMPLETED", "FAILED"]
    assert len({run["flow_id"] for run in runs}) == 1, "people find all of them under one flow"
    key = {"artifacts": {"key": {"any_": [f"{scene.name}-r1"]}}}
    reports = httpx.post(f"{prefect_api}/artifacts/filter", json=key).json()
    shown = {one["flow_run_id"] for one in reports}
    assert len(shown & {run["id"] for run in runs}) == 2


def test_where_there_is_nothing_to_go_back_to_an_abandoned_canary_goes_all_the_same(
    scene: Scene,
) -> None:
    scene.edit(strategy={"kind": "all-at-once"}, policy="offline")
    scene.release()
    candidate, stable = scene.write("2"), scene.state().stable
    assert stable is not None
    journal = platforms.journal()
    dead = journal.acquire(scene.name, "production", platforms.this_owner("dead"), 60)
    groups = (
        Group("r1", stable.artifact, 2, 80, Role.STABLE),
        Group("r2", candidate, 1, 20, Role.CANARY),
    )
    left = Step("20 % of the traffic to r2", FleetSpec(groups), Gate.OBSERVE)
    for body in (RolloutStarted(scene.here, candidate, 2, ""), StepStarted(1, left)):
        record(journal, scene.name, "production", "r2", body, dead)
    everything = frozenset({stable.artifact.digest, candidate.digest})
    converge(scene.world.fleet, scene.here, left.spec, dead.token, everything)
    journal.release(dead)
    with pytest.raises(NotFoundError, match="nothing else was ever promoted there"):
        roll_back(scene.name, "production", "it was slow")
    assert len(scene.told(Withdrawn)) == 1
    assert scene.weights() == {"r1": 100}


def test_who_comes_late_hears_what_was_told_meanwhile() -> None:
    with overheard() as story:
        tell("r3 was rolled back to r2", where="hello production")
    tell("later")
    assert story == ["hello production: r3 was rolled back to r2"]
