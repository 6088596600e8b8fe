"""From nothing: `bakewell up`, a git push, and a person who approves it in the Prefect pages before it reaches production."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Bakewell, copy_of_example, home_of_its_own
from tests.e2e.operations.pushing import bare_repository, deliver, push, receiver_of, told_of_pushes
from tests.support.asking import ask
from tests.support.browser import answer_form, browser_page, open_run, picture
from tests.support.engines import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(600)]


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    return bare_repository(tmp_path)


@pytest.fixture
def bakewell(tmp_path: Path, origin: Path) -> Iterator[Bakewell]:
    with home_of_its_own() as found:
        yield told_of_pushes(found, origin, tmp_path)


def places(bakewell: Bakewell) -> dict[str, Any]:
    return {one["environment"]: one for one in bakewell("status", "shop", "--json").json}


def test_a_push_is_released_to_two_environments_with_an_approval_given_in_the_browser(
    bakewell: Bakewell, origin: Path, tmp_path: Path
) -> None:
    up = bakewell("up", "--detach", "--json", seconds=300)
    assert up.code == 0, up.out + up.err
    ui = up.json["ui"]
    (tmp_path / "work").mkdir()
    service = copy_of_example(tmp_path / "work", "shop")
    service.edit(lambda spec: spec["environments"][1].update(needs_approval=True))
    commit = push(service, origin)
    answer = deliver(receiver_of(bakewell), origin, commit)
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
