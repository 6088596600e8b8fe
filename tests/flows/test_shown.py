"""What people find in Prefect's pages: runs by their names and tags, and from a release's page the way to its rollouts and back."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from flows.drift import drift
from flows.release import ReleaseRequest, release
from flows.retire import RetireRequest, retire
from flows.rollback import rollback
from flows.stopped import StoppedError
from tasks.adapters.memory_traffic import Behaviour
from tasks.journal.rules import ReleaseStarted, RolloutStarted
from tasks.lanes import LaneKind
from tests.flows.scene import Scene
from tests.support.repositories import git


def run_of(api: str, run: str) -> Mapping[str, Any]:
    found: dict[str, Any] = httpx.get(f"{api}/flow_runs/{run}").json()
    return found


def newest_of(api: str, tag: str, flow: str) -> Mapping[str, Any]:
    """The newest run of a flow that has the tag."""
    body = {
        "flow_runs": {"tags": {"all_": [tag]}},
        "flows": {"name": {"any_": [flow]}},
        "sort": "START_TIME_DESC",
    }
    found: list[dict[str, Any]] = httpx.post(f"{api}/flow_runs/filter", json=body).json()
    return found[0]


def pages(api: str, run: str) -> dict[str, str]:
    """By key. A page that is written anew is not another one."""
    body = {"artifacts": {"flow_run_id": {"any_": [run]}, "type": {"any_": ["markdown"]}}}
    found = httpx.post(f"{api}/artifacts/filter", json=body).json()
    assert len({one["key"] for one in found}) == len(found)
    return {one["key"]: one["data"] for one in found}


def newest_runs(scene: Scene) -> tuple[str, str]:
    """Of the release, and of its rollout."""
    release_run = scene.told(ReleaseStarted)[-1].flow_run
    return release_run, scene.told(RolloutStarted)[-1].flow_run


def test_a_release_and_its_rollout_are_found_by_service_environment_and_commit(
    scene: Scene, prefect_api: str
) -> None:
    git(scene.folder, "init", "--quiet")
    git(scene.folder, "add", ".")
    git(scene.folder, "commit", "--quiet", "--message", "all of it")
    commit = git(scene.folder, "rev-parse", "HEAD")
    scene.release()
    tags = [f"service:{scene.name}", "environment:production", f"commit:{commit[:12]}"]
    whole, rolled = (run_of(prefect_api, run) for run in newest_runs(scene))
    assert whole["name"] == f"release {scene.name} r1"
    assert rolled["name"] == f"roll {scene.name} r1 out to production"
    assert whole["tags"] == rolled["tags"] == tags


def test_a_hotfix_is_found_by_its_lane_and_the_last_environment_is_in_the_name(
    scene: Scene, prefect_api: str
) -> None:
    scene.release("production", lane=LaneKind.HOTFIX, reason="users are hurt", by="ada")
    whole = run_of(prefect_api, newest_runs(scene)[0])
    assert whole["name"] == f"release {scene.name} r1 to production"
    assert "lane:hotfix" in whole["tags"]


def test_one_finds_from_the_page_of_a_release_to_its_rollout_and_back(
    scene: Scene, prefect_api: str
) -> None:
    scene.release()
    release_run, rollout_run = newest_runs(scene)
    there = f"[rollout to production](/v2/runs/flow-run/{rollout_run})"
    back = f"[release {scene.name} r1](/v2/runs/flow-run/{release_run})"
    (page,) = pages(prefect_api, release_run).values()
    assert there in page
    assert f"`bakewell explain {scene.name} r1`" in page
    (page,) = pages(prefect_api, rollout_run).values()
    assert back in page
    assert f"`bakewell history {scene.name}`" in page


def test_the_page_of_a_rollout_that_was_rolled_back_shows_the_evidence_of_each_metric(
    scene: Scene, prefect_api: str
) -> None:
    scene.release()
    scene.write("2", Behaviour(failure_share=0.5, pages={"/": (200, "This is version 2")}))
    with pytest.raises(StoppedError):
        scene.release()
    (page,) = pages(prefect_api, newest_runs(scene)[1]).values()
    assert "rolled back" in page.splitlines()[0]
    assert "**The evidence**" in page
    assert "| errors |" in page
    assert "data:image/svg+xml;base64," in page


def test_what_goes_back_drifts_or_is_retired_is_found_by_its_service(
    scene: Scene, prefect_api: str
) -> None:
    tag = f"service:{scene.name}"
    scene.release()
    scene.write("2")
    scene.release()
    rollback(scene.name, "production")
    went = newest_of(prefect_api, tag, "rollback")
    assert went["name"] == f"roll {scene.name} back to r1 in production"
    assert "environment:production" in went["tags"]
    drift(scene.name)
    looked = newest_of(prefect_api, tag, "drift")
    assert looked["name"] == f"drift of {scene.name}: 1 as it should be"
    retire(RetireRequest(service=scene.name, reason="nobody needs it", environment="production"))
    gone = newest_of(prefect_api, tag, "retire")
    assert gone["name"] == f"retire {scene.name} in production"


def test_an_empty_folder_of_the_form_is_none(scene: Scene) -> None:
    assert ReleaseRequest.model_validate({"folder": ""}).folder is None
    asked = ReleaseRequest(folder=scene.folder)
    assert ReleaseRequest.model_validate(asked.model_dump(mode="json")) == asked
    assert release.validate_parameters({"request": {"folder": ""}})
