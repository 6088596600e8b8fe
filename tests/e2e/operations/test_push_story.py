"""From nothing: `bakewell up`, a git push, and a person who approves it in the Prefect pages before it reaches production."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tasks.adapters.parts import environment_of_part
from tasks.pushes import Forge
from tests.e2e.conftest import Bakewell, Service, copy_of_example, home_of_its_own
from tests.support.asking import ask
from tests.support.browser import answer_form, browser_page, open_run, picture
from tests.support.engines import free_port, wait_for
from tests.support.forge import VARIABLE, repositories_yaml, repository, signed
from tests.support.repositories import git

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(600)]
SECRET: Final = "a secret of this test alone"


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """What a forge has: a bare repository."""
    folder = tmp_path / "shop.git"
    folder.mkdir()
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main")
    return folder


@pytest.fixture
def bakewell(tmp_path: Path, origin: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bakewell]:
    """A home whose receiver knows that repository."""
    services = [{"service": "shop", "folder": "shop"}]
    known = repository("shop", str(origin), Forge.GITHUB, services=services)
    file = repositories_yaml(tmp_path / "repositories.yaml", known)
    monkeypatch.setenv(VARIABLE, SECRET)
    with home_of_its_own() as found:
        yield found.with_settings(
            BAKEWELL_REPOSITORIES=str(file), BAKEWELL_RECEIVER_PORT=str(free_port())
        )


def push(service: Service, origin: Path) -> str:
    """A person's `git push`. The commit."""
    work = service.folder.parent
    if not (work / ".git").exists():
        git(work, "init", "--quiet", "--initial-branch=main")
    git(work, "add", "shop")
    git(work, "commit", "--quiet", "--message", "another version")
    git(work, "push", "--quiet", str(origin), "main")
    return git(work, "rev-parse", "HEAD").strip()


def deliver(receiver: str, origin: Path, commit: str) -> httpx.Response:
    """What GitHub says of it."""
    told = {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": commit,
        "created": True,
        "deleted": False,
        "repository": {"full_name": "team/shop", "clone_url": str(origin), "html_url": str(origin)},
        "pusher": {"name": "ada"},
        "commits": [{"id": commit, "added": [], "removed": [], "modified": ["shop/settings.json"]}],
    }
    body = json.dumps(told).encode()
    headers = {"content-type": "application/json", **signed(Forge.GITHUB, body, SECRET)}
    return httpx.post(f"{receiver}/push/shop", content=body, headers=headers)


def places(bakewell: Bakewell) -> dict[str, Any]:
    return {one["environment"]: one for one in bakewell("status", "shop", "--json").json}


def test_a_push_is_released_to_two_environments_with_an_approval_given_in_the_browser(
    bakewell: Bakewell, origin: Path, tmp_path: Path
) -> None:
    up = bakewell("up", "--detach", "--json", seconds=300)
    assert up.code == 0, up.out + up.err
    ui = up.json["ui"]
    port = environment_of_part(bakewell.home, "receiver")["BAKEWELL_RECEIVER_PORT"]
    (tmp_path / "work").mkdir()
    service = copy_of_example(tmp_path / "work", "shop")
    service.edit(lambda spec: spec["environments"][1].update(needs_approval=True))
    commit = push(service, origin)
    answer = deliver(f"http://127.0.0.1:{port}", origin, commit)
    assert answer.status_code == 202, answer.text
    wait_for(lambda: bool(waiting_run(bakewell)), 120, "the question whether it may enter", 0.5)
    staging = places(bakewell)["staging"]
    assert ask(staging["endpoint"]).headers["x-version"] == "1"
    assert places(bakewell)["production"]["endpoint"] is None
    with browser_page() as page:
        open_run(page, ui, waiting_run(bakewell))
        if target := os.environ.get("BAKEWELL_PICTURES"):
            picture(page, Path(target) / "waits.png")
        answer_form(page, "approve", "Ada Lovelace", "it was tried in staging")
    wait_for(lambda: bool(outcome(bakewell)), 180, "the end of the release", 0.5)
    assert ask(places(bakewell)["production"]["endpoint"]).headers["x-version"] == "1"
    (approved,) = told(bakewell, "approved")
    assert (approved["by"], approved["how"]) == ("Ada Lovelace", "form")
    (pushed,) = told(bakewell, "push accepted")
    assert pushed["commit"] == commit
    assert bakewell("verify-journal").code == 0


def told(bakewell: Bakewell, kind: str) -> list[dict[str, Any]]:
    """Bodies of that kind of line, oldest first."""
    lines = bakewell("history", "shop", "--limit", "1000", "--json").json
    return [
        one["body"] for one in sorted(lines, key=lambda one: one["sequence"]) if one["kind"] == kind
    ]


def waiting_run(bakewell: Bakewell) -> str:
    """The suspended run, as soon as the journal knows it."""
    return next((one["wait"]["flow_run"] for one in told(bakewell, "release waits")), "")


def outcome(bakewell: Bakewell) -> str:
    return next((one["outcome"] for one in told(bakewell, "release finished")), "")
