"""Pictures of Prefect's pages for the README: `python -m tests.support.pictures` brings an installation up, lets a service be released
as its people would, and photographs what they see. They are written to deployments/pictures.

The home has a path without anybody's name, and everything is done by a user `ada`: both are to be seen.
"""

import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from playwright.sync_api import Locator, Page, expect

from flows.load import LoadGenerator
from tasks.adapters.prefect_api import FlowRun
from tasks.journal.rules import EnvironmentState
from tasks.ports import Event
from tests.e2e.conftest import Bakewell, Service, copy_of_example
from tests.e2e.operations.installed import PLACE, Installation, asked_again, up
from tests.support.browser import browser_page, fill_form, open_form, send_form
from tests.support.engines import wait_for
from tests.support.repositories import git

FOLDER: Final = Path(__file__).parents[2] / "deployments" / "pictures"
LARGEST_BYTES: Final = 120_000
WIDTH, HEIGHT = 1080, 660
SETTLED_MS: Final = 2500
REQUESTS_PER_SECOND: Final = 120
OBSERVE: Final = {
    "interval_seconds": 1.0,
    "minimum_requests": 300,
    "minimum_seconds": 15.0,
    "deadline_seconds": 120.0,
    "batch_seconds": 1.0,
    "warm_up_seconds": 1.0,
    "margin": 0.03,
    "burst": 1.0,
    "watch_seconds": 0.0,
}


@dataclass(frozen=True)
class Album:
    """A person at the pages of an installation, with a service of theirs."""

    there: Installation
    page: Page
    service: Service

    @property
    def ui(self) -> str:
        return f"{self.there.api.address.removesuffix('/api')}/v2"

    def show(self, top: int = 0, height: int = HEIGHT) -> None:
        """So much of the page, from `top` pixels on."""
        self.page.set_viewport_size({"width": WIDTH, "height": height})
        self.page.wait_for_timeout(SETTLED_MS)
        if top:
            self.page.mouse.move(WIDTH / 2, HEIGHT / 2)
            self.page.mouse.wheel(0, top)
            self.page.wait_for_timeout(SETTLED_MS)

    def take(self, name: str, part: Locator | None = None) -> None:
        """What is shown now, or a part of it."""
        target = FOLDER / f"{name}.png"
        (part or self.page).screenshot(path=str(target))
        print(f"{target.name}: {target.stat().st_size:,} bytes", flush=True)

    def release(self, version: int, **settings: Any) -> FlowRun:
        """Somebody commits another version and releases it in the pages."""
        self.service.version(version, **settings)
        git(self.service.folder, "add", ".")
        git(self.service.folder, "commit", "--quiet", "--message", f"version {version}")
        return self.there.release(self.service)

    def told(self, kind: str) -> list[Event]:
        return [one for one in self.there.journal.events(self.service.name) if one.kind == kind]

    def page_of(self, run: str, key: str) -> str:
        """The address of a run's page in Markdown, as soon as it is there."""
        wanted = {"artifacts": {"flow_run_id": {"any_": [run]}, "key": {"any_": [key]}}}

        def found() -> list[dict[str, Any]]:
            answer = self.page.request.post(
                f"{self.there.api.address}/artifacts/filter", data=wanted
            )
            listed: list[dict[str, Any]] = answer.json()
            return listed

        wait_for(lambda: bool(found()), 60, f"the page {key}", 0.5)
        return f"{self.ui}/artifacts/artifact/{found()[0]['id']}"


# ---- what is photographed ------------------------------------------------------------------------


def photograph(album: Album) -> None:
    first = album.release(1)
    assert album.there.ended(first) == "Completed"
    show_form(album)
    album.service.edit(ask_before_production)
    status = album.there.bakewell("status", album.service.name, "--json").json
    endpoint = next(one["endpoint"] for one in status if one["environment"] == PLACE)
    with LoadGenerator(endpoint, REQUESTS_PER_SECOND):
        second = album.release(2, greeting="Good evening")
        show_approval(album, second)
        show_runs(album)
        assert album.there.ended(second) == "Completed"
        third = album.release(3, failure_share=0.2)
        approve(album, third)
        assert album.there.ended(third) == "Failed"
        show_rollout(album)
    show_drift(album)


def show_form(album: Album) -> None:
    """Release: the form of its parameters."""
    deployment = album.there.api.deployment("release/release")
    album.page.goto(f"{album.ui}/deployments/deployment/{deployment}/run")
    expect(album.page.get_by_text("Last environment")).to_be_visible()
    album.page.get_by_role("textbox", name="Folder (Optional)", exact=True).fill(
        str(album.service.folder)
    )
    album.show()
    album.take("form")


def show_approval(album: Album, run: FlowRun) -> None:
    """The run that waits, with the form behind its button. It is answered."""
    wait_for_question(album, run)
    album.page.goto(f"{album.ui}/runs/flow-run/{run.id}")
    album.show(height=1000)
    form = open_form(album.page)
    fill_form(form, "approve", "Ada Lovelace", "the new greeting was tried in staging")
    form.get_by_role("heading", name="May shop").scroll_into_view_if_needed()
    album.take("approval", form)
    send_form(form)


def show_runs(album: Album) -> None:
    """All runs, while production is being observed."""
    wait_for(lambda: len(album.told("sampled")) > 8, 120, "samples of production", 0.5)
    album.page.goto(f"{album.ui}/runs")
    for name in ("release shop r2", "roll shop r2 out to production"):
        expect(album.page.get_by_text(name, exact=True)).to_be_visible()
    album.show(top=640, height=600)
    album.take("runs")


def show_rollout(album: Album) -> None:
    """The page of the rollout that was rolled back."""
    run = str(album.told("rollout started")[-1].body["flow_run"])
    album.page.goto(album.page_of(run, f"{album.service.name}-r3-{PLACE}"))
    expect(album.page.get_by_role("heading", name="rolled back").first).to_be_visible()
    album.show(top=130)
    album.take("rollout")


def show_drift(album: Album) -> None:
    """Somebody kills an instance of production; a look finds it."""
    state = album.there.state(album.service)
    assert state is not None
    instance(album, state).kill()
    api = album.there.api
    request: dict[str, Any] = {"service": album.service.name}
    run = asked_again(lambda: api.create_run("drift/drift", request, key=str(time.time())))
    assert album.there.ended(run) == "Completed"
    album.page.goto(album.page_of(run.id, "drift"))
    expect(album.page.get_by_role("heading", name="Drift").first).to_be_visible()
    album.show(height=600)
    album.take("drift")


# ---- what people do ------------------------------------------------------------------------------


def ask_before_production(spec: Any) -> None:
    production = next(one for one in spec["environments"] if one["name"] == PLACE)
    production["needs_approval"] = True


def slower(spec: Any) -> None:
    """Observed as long as somebody needs to look."""
    for place in spec["environments"]:
        place["observe"] = OBSERVE


def wait_for_question(album: Album, run: FlowRun) -> None:
    wait_for(lambda: album.there.run(run.id).state == "PAUSED", 120, "the question", 0.5)


def approve(album: Album, run: FlowRun) -> None:
    wait_for_question(album, run)
    said = album.there.bakewell(
        "approve", album.service.name, PLACE, "--reason", "tried in staging"
    )
    assert said.code == 0, said.err


def instance(album: Album, state: EnvironmentState) -> psutil.Process:
    """One that serves users there."""
    assert state.stable is not None
    for one in album.there.bakewell.processes():
        marks = one.environ()
        here = marks.get("BAKEWELL_ENVIRONMENT") == state.environment.key
        if here and marks.get("BAKEWELL_GROUP") == state.stable.release:
            return one
    raise LookupError(f"no instance of {state.stable.release} runs in {PLACE}")


@contextmanager
def installation(home: Path) -> Iterator[Installation]:
    """From nothing; nothing of it is left."""
    command = Bakewell(home, settings={"LOGNAME": "ada", "USER": "ada"})
    if home.exists():
        command("down", "--all")
        shutil.rmtree(home)
    home.mkdir()
    command.fresh_database()
    try:
        yield up(command)
    finally:
        command("down", "--all")
        shutil.rmtree(home, ignore_errors=True)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was brought up is stopped, too
    FOLDER.mkdir(exist_ok=True)
    home = Path(tempfile.gettempdir()) / "bakewell-pictures"
    with installation(home) as there, browser_page(WIDTH, HEIGHT) as page:
        (home / "work").mkdir()
        service = copy_of_example(home / "work", "shop")
        service.edit(slower)
        git(service.folder, "init", "--quiet", "--initial-branch=main")
        photograph(Album(there, page, service))
    large = [one.name for one in FOLDER.glob("*.png") if one.stat().st_size > LARGEST_BYTES]
    sys.exit(f"larger than {LARGEST_BYTES:,} bytes: {', '.join(large)}" if large else 0)


if __name__ == "__main__":
    main()
