"""A pushed commit on its way: Prefect makes one run for it, and the run releases exactly that commit of a configured repository."""

import threading
import uuid
from pathlib import Path

import pytest
from prefect.deployments.runner import RunnerDeployment

from flows.delivering import deliver
from flows.release import ReleaseRequest, release
from tasks import platforms
from tasks.adapters.prefect_api import PrefectApi
from tasks.errors import InvalidInputError, NotFoundError
from tasks.journal.events import ReleaseStarted, body_of, record
from tasks.journal.pushes import PushAccepted, PushEnded, PushTaken
from tasks.model import Source
from tests.flows.scene import Scene
from tests.support.forge import repositories_yaml, repository
from tests.support.repositories import bare, commit, git


@pytest.fixture
def shop(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The scene's service, in the folder `services/it` of a repository."""
    made = bare(tmp_path / "shop.git")
    services = [{"service": scene.name, "folder": "services/it"}]
    told = repository("shop", str(made), services=services)
    monkeypatch.setenv(
        "BAKEWELL_REPOSITORIES", str(repositories_yaml(tmp_path / "repositories.yaml", told))
    )
    return made


def push(scene: Scene, shop: Path) -> str:
    """What is in the scene's folder now."""
    files = {
        f"services/it/{path.relative_to(scene.folder)}": path.read_bytes()
        for path in scene.folder.rglob("*")
        if path.is_file()
    }
    return commit(shop, files)


def asked(at: str, **more: str) -> ReleaseRequest:
    return ReleaseRequest(repository="shop", commit=at, subfolder="services/it", **more)


def test_exactly_the_pushed_commit_is_released_and_nothing_of_it_is_left_behind(
    scene: Scene, shop: Path
) -> None:
    first = push(scene, shop)
    scene.write("2")
    push(scene, shop)
    assert release(asked(first)).outcome == "promoted in production"
    (started,) = scene.told(ReleaseStarted)
    assert isinstance(started, ReleaseStarted)
    assert started.source == Source(str(shop), first, dirty=False)
    page = scene.world.prober.get(scene.status().groups[0].instances[0].address, "/", 1)
    assert page == (200, "This is version 1")
    assert list((platforms.home() / "checkouts").iterdir()) == []


def test_what_is_not_configured_or_not_there_is_not_released(scene: Scene, shop: Path) -> None:
    made = push(scene, shop)
    for request, told in [
        (ReleaseRequest(repository="evil", commit=made), "only those are built"),
        (ReleaseRequest(repository=str(shop), commit=made), "only those are built"),
        (asked("f" * 40), "no such commit"),
        (ReleaseRequest(repository="shop", commit=made, subfolder="x"), "there is none in it"),
    ]:
        with pytest.raises(NotFoundError, match=told):
            release(request)
    for wrong in (
        ReleaseRequest(),
        ReleaseRequest(folder=scene.folder, repository="shop", commit=made),
    ):
        with pytest.raises(InvalidInputError, match="name either a folder"):
            release(wrong)
    assert scene.told(ReleaseStarted) == []


def accept(scene: Scene, at: str) -> int:
    body = PushAccepted("generic", uuid.uuid4().hex, "shop", "main", at, "services/it", "ada")
    return record(platforms.journal(), scene.name, "", "", body).sequence


def told(scene: Scene, kind: type) -> list[object]:
    bodies = [body_of(event) for event in platforms.journal().events(scene.name)]
    return [body for body in bodies if isinstance(body, kind)]


def test_the_real_prefect_makes_one_run_for_a_push_whoever_delivers_it(
    scene: Scene, shop: Path, prefect_api: str
) -> None:
    deployment = release.to_deployment(name="release")
    assert isinstance(deployment, RunnerDeployment)
    deployment.apply()
    first = accept(scene, push(scene, shop))
    again = accept(scene, git(shop, "rev-parse", "main"))
    deliverers = [threading.Thread(target=lambda: list(deliver())) for _ in range(3)]
    for one in deliverers:
        one.start()
    for one in deliverers:
        one.join()
    *_, taken = told(scene, PushTaken)
    assert isinstance(taken, PushTaken)
    assert taken.push == again, f"it supersedes line {first}"
    with PrefectApi(prefect_api) as prefect:
        (run,) = prefect.runs({"tags": {"all_": [f"service:{scene.name}"]}})
        assert run.id == taken.flow_run
        request = run.parameters["request"]
        assert ReleaseRequest.model_validate(request).repository == "shop"
        scene.write("2")
        newest = push(scene, shop)
        accept(scene, newest)
        list(deliver())
        assert prefect.run(run.id).state == "CANCELLED", "nobody had begun it"
        list(deliver())
        runs = prefect.runs({"tags": {"all_": [f"service:{scene.name}"]}})
    commits = [ReleaseRequest.model_validate(one.parameters["request"]).commit for one in runs]
    assert sorted(commits) == sorted([git(shop, "rev-parse", "main~1"), newest])
    assert told(scene, PushEnded) == [PushEnded(again, False, "its run ended as Cancelled")]
