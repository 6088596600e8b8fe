"""The demo: an example service is released three times under real load. The third version is bad, and is stopped.

It works on a copy of deployments/services/hello under the name `hello-demo`, observed for seconds where a real
service should be observed for minutes.
"""

import json
import shutil
import time
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flows import console
from flows.course import courses, newest
from flows.load import LoadGenerator, LoadSummary
from flows.retirement import take_down
from flows.run import prefect_is_there
from flows.stopped import StoppedError
from flows.story import Tone, tell
from tasks import platforms
from tasks.errors import NotFoundError
from tasks.journal.rules import fold
from tasks.model import Verdict

SERVICE = "hello-demo"
EXAMPLE = Path(__file__).parent.parent / "deployments" / "services" / "hello"
REQUESTS_PER_SECOND = 100
FASTER = {
    "interval_seconds": 1.0,
    "minimum_requests": 100,
    "minimum_seconds": 6.0,
    "deadline_seconds": 120.0,
    "batch_seconds": 1.0,
    "warm_up_seconds": 1.0,
    "margin": 0.04,
    "burst": 1.0,
    "watch_seconds": 5.0,
}


def demo(keep: bool) -> int:
    """Tell the story; 0 if it ended as it should, 1 with what differed if not."""
    began = time.monotonic()
    with prefect_is_there():
        from flows.release import ReleaseRequest, release
        from flows.unchanged import Released

        def version(number: int, **settings: Any) -> Released:
            write_version(folder, number, settings)
            return release(ReleaseRequest(folder=folder))

        folder = fresh_example()
        console.chapter(
            1, "The first release: bake, scan, sign, roll out to staging and production"
        )
        version(1)
        with LoadGenerator(endpoint(), REQUESTS_PER_SECOND) as load:
            console.chapter(
                2, f"A good second version, under {REQUESTS_PER_SECOND} requests a second"
            )
            version(2, greeting="Hello again")
            console.chapter(3, "A third version that answers every fifth request with an error")
            stopped = bad_version(version)
            seen = load.stop()
    problems = what_differed(stopped, seen)
    show_production()
    console.out(console.users_saw(seen))
    for problem in problems:
        tell(problem, Tone.BAD)
    end(keep)
    console.out(f"The demo took {time.monotonic() - began:.0f} s.")
    return 1 if problems else 0


def fresh_example() -> Path:
    """A copy of the example to edit, with nothing of an earlier demo running."""
    try:
        for line in take_down(SERVICE, None, False):
            tell(f"from an earlier demo: {line}")
    except NotFoundError:
        pass  # the usual case: there was none
    folder = platforms.home() / "demo" / SERVICE
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(EXAMPLE, folder)
    path, yaml = folder / "service.yaml", YAML()
    spec = yaml.load(path.read_text())
    spec["service"] = SERVICE
    for place in spec["environments"]:
        place["observe"] = FASTER
    if problem := database_problem():
        spec["policy"] = "offline"
        tell(f"NO VULNERABILITY DATABASE: {problem}", Tone.WARN)
        tell(
            "The demo goes on WITHOUT KNOWING VULNERABILITIES. A real service is refused here.",
            Tone.WARN,
        )
    yaml.dump(spec, path)
    return folder


def database_problem() -> str:
    """Why there is no vulnerability database, or an empty string."""
    from tasks.adapters.trivy import prepare_database

    tell("looks for a vulnerability database (the first time it is downloaded)", Tone.WAIT)
    return prepare_database(platforms.home() / "trivy")


def write_version(folder: Path, number: int, settings: dict[str, Any]) -> None:
    path = folder / "settings.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "version": str(number), **settings}, indent=2)
        + "\n"
    )


def bad_version(version: Any) -> StoppedError | None:
    try:
        version(3, failure_share=0.2)
    except StoppedError as error:
        return error
    return None


def endpoint() -> str:
    """Where users reach production."""
    state = (
        fold(platforms.journal().events(SERVICE)).environments[SERVICE, "production"].environment
    )
    return platforms.connect(state.platform).fleet.read(state).endpoint


def what_differed(stopped: StoppedError | None, seen: LoadSummary) -> list[str]:
    """From the story as it should be: the bad version rolled back, and no user failed by anything but it."""
    problems = []
    if stopped is None:
        problems.append("the bad version was promoted")
    elif stopped.judgement.verdict is not Verdict.ROLL_BACK:
        problems.append(f"the bad version was not rolled back but {stopped.judgement.verdict}")
    if seen.failures:
        problems.append(f"{seen.failures} requests got no answer: {dict(seen.failed)}")
    others = {one.version: one.errors for one in seen.versions if one.errors and one.version != "3"}
    if others:
        problems.append(f"errors came from other versions than the bad one: {others}")
    if [one.version for one in seen.versions if one.requests] != ["1", "2", "3"]:
        problems.append(
            f"users saw versions {[one.version for one in seen.versions]} instead of 1, 2 and 3"
        )
    return problems


def show_production() -> None:
    """Who answered users, and how much failed, in the two rollouts under load."""
    events = platforms.journal().events(SERVICE)
    numbers = sorted(
        {event.release for event in events if event.release}, key=lambda name: int(name[1:])
    )
    for release in numbers[-2:]:
        for course in newest(courses(events, SERVICE, release)):
            if course.observed:
                console.out(console.picture(course))


def end(keep: bool) -> None:
    from tasks.adapters.prefect_server import LocalPrefectServer

    ui = LocalPrefectServer(platforms.home()).ui_url
    console.out(
        f"\nThe runs, their logs and reports: {ui}\nThe journal: `bakewell history {SERVICE}`"
    )
    if keep:
        console.out(f"It still runs at {endpoint()}; `bakewell down {SERVICE}` ends it.")
        return
    for line in take_down(SERVICE, None, False):
        tell(line)
    console.out(
        "The Prefect server stays for the next command; `bakewell down --all` ends it, too."
    )
