"""Quarantines among real flows: what they keep from starting, what goes back because of them, and what is kept, loudly."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from flows.approval import approve
from flows.heal import heal
from flows.quarantine import Place, where_it_runs
from flows.quarantining import Target, add, lift, target_of
from flows.replacement import replace_everywhere, show_replaced
from flows.replacing import Replaced, replace_all
from flows.rollback import rollback
from flows.status import statuses
from flows.stopped import StoppedError
from flows.tenure import tenure
from tasks import platforms
from tasks.adapters.memory_faults import Moment
from tasks.adapters.memory_traffic import Behaviour
from tasks.errors import NotAdmittedError, NotFoundError
from tasks.evidence import Quarantine
from tasks.journal.events import Promoted, RolledBack, Sampled, Withdrawn
from tasks.model import Artifact, Health, Verdict
from tests.flows.scene import QUICK, Scene

PAGE = {"/": (200, "This is version x")}
Put = Callable[..., Quarantine]


@pytest.fixture
def put() -> Iterator[Put]:
    """Quarantine something; it is lifted at the end, for quarantines are of every service."""
    made: list[Target] = []

    def quarantine(artifact: Artifact | None = None, package: str = "") -> Quarantine:
        made.append(target_of(artifact.digest if artifact else "", "", package))
        return add(made[-1], "stolen key", None, "ada")

    yield quarantine
    for target in made:
        with suppress(NotFoundError):
            lift(target, "the test is over")


@pytest.fixture
def quiet(scene: Scene) -> Scene:
    """A service whose policy asks for no more than what these tests are about."""
    scene.edit(policy="offline")
    return scene


def replaced(quarantine: Quarantine, wait_seconds: float = 20.0) -> list[Replaced]:
    return replace_all(quarantine.kind, quarantine.what, wait_seconds)


def later(condition: Callable[[], object], do: Callable[[], object]) -> threading.Thread:
    """In a thread: as soon as that is so, do this."""

    def run() -> None:
        end = time.monotonic() + 30
        while not condition() and time.monotonic() < end:
            time.sleep(0.05)
        do()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def two_releases(scene: Scene) -> tuple[Artifact, Artifact]:
    scene.release()
    first = scene.state().stable
    second = scene.write("2")
    scene.release()
    assert first is not None
    return first.artifact, second


# ---- it blocks -----------------------------------------------------------------------------------


def test_what_is_quarantined_is_not_released_and_starts_no_further_instance(
    quiet: Scene, put: Put
) -> None:
    quiet.release()
    stable = quiet.state().stable
    assert stable is not None
    put(stable.artifact)
    quiet.edit(replicas=3)
    with pytest.raises(NotAdmittedError, match=r"it is quarantined.*by ada.*stolen key.*lift"):
        quiet.release()
    (group,) = quiet.status().groups
    assert (group.ready, group.weight) == (2, 100), "what runs is kept"


def test_heal_does_not_replace_what_is_quarantined_and_keeps_what_still_runs(
    quiet: Scene, put: Put
) -> None:
    quiet.release()
    (group,) = quiet.status().groups
    put(group.artifact)
    quiet.world.set_health(quiet.here, group.instances[0].name, Health.DEAD)
    list(heal(quiet.name))
    (after,) = quiet.status().groups
    assert (after.ready, after.weight) == (1, 100)
    started = {one.name for one in after.instances} - {one.name for one in group.instances}
    assert started == set()


def test_a_candidate_quarantined_while_it_is_observed_is_rolled_back(
    quiet: Scene, put: Put
) -> None:
    quiet.edit(observe={**QUICK, "minimum_seconds": 60.0, "deadline_seconds": 90.0})
    quiet.release()
    artifact = quiet.write("2")
    thread = later(lambda: quiet.told(Sampled), lambda: put(artifact))
    with pytest.raises(StoppedError, match=r"roll back: it is quarantined.*stolen key") as stopped:
        quiet.release()
    thread.join()
    assert stopped.value.judgement.verdict is Verdict.ROLL_BACK
    assert quiet.weights() == {"r1": 100}
    assert quiet.told(Withdrawn)[-1].verdict is Verdict.ROLL_BACK


def test_a_stable_release_that_is_quarantined_and_dies_does_not_stop_its_replacement(
    quiet: Scene, put: Put
) -> None:
    """The new version is the way out: the old one's group stays short of what died."""
    quiet.edit(replicas=3)
    quiet.release()
    (old,) = quiet.status().groups
    quiet.write("2")

    def quarantine_and_lose_one() -> None:
        put(old.artifact)
        quiet.world.set_health(quiet.here, old.instances[0].name, Health.DEAD)

    thread = later(lambda: quiet.told(Sampled), quarantine_and_lose_one)
    released = quiet.release()
    thread.join()
    assert quiet.weights()["r2"] == 100
    assert released.outcome == "promoted in production"
    assert quiet.world.started.count(old.artifact.digest) == 3 + 1, "three, and a fresh baseline"


def test_a_candidate_quarantined_while_somebody_thinks_about_it_never_starts(
    quiet: Scene, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bakewell")
    quiet.release()
    quiet.edit(needs_approval=True, approval_seconds=30)
    artifact = quiet.write("2")

    def quarantine_then_approve() -> None:
        put(artifact)
        approve(quiet.name, "production", "looks good", "somebody")

    began = len(quiet.world.started)
    thread = later(lambda: "`bakewell approve" in caplog.text, quarantine_then_approve)
    with pytest.raises(NotAdmittedError, match="it is quarantined"):
        quiet.release()
    thread.join()
    assert len(quiet.world.started) == began
    assert quiet.weights() == {"r1": 100}


def test_a_watch_goes_back_past_what_was_quarantined_meanwhile(quiet: Scene, put: Put) -> None:
    _, second = two_releases(quiet)
    quiet.edit(observe={**QUICK, "watch_seconds": 20})
    third = quiet.write("3")

    def quarantine_and_break() -> None:
        put(second)
        quiet.world.behaviours[third.digest] = Behaviour(failure_share=0.3, pages=PAGE)

    thread = later(lambda: quiet.weights().get("r3") == 100, quarantine_and_break)
    with pytest.raises(StoppedError, match="roll back"):
        quiet.release()
    thread.join()
    assert quiet.weights() == {"r1": 100}
    assert quiet.told(RolledBack)[-1].by == "watch"


# ---- it replaces ---------------------------------------------------------------------------------


def test_what_runs_is_replaced_and_comes_back_only_when_the_quarantine_is_lifted(
    quiet: Scene, put: Put
) -> None:
    _, second = two_releases(quiet)
    made = put(second)
    (found,) = where_it_runs(made).found
    assert (found.environment.service, found.place, found.release) == (
        quiet.name,
        Place.STABLE,
        "r2",
    )
    (done,) = replaced(made)
    assert (done.was.split()[0], done.is_now.split()[0], done.failed) == ("r2", "r1", False)
    for _ in range(2):
        show_replaced(made.kind, made.what, [done], ["r2 was rolled back to r1"])
    assert quiet.weights() == {"r1": 100}
    assert where_it_runs(made).found == ()
    (told,) = quiet.told(RolledBack)
    assert told.quarantine == f"artifact {second.digest}"
    assert "stolen key" in told.reason
    with pytest.raises(NotFoundError, match=r"r2 .*it is quarantined.*`bakewell quarantine lift"):
        rollback(quiet.name, "production")
    lift(target_of(second.digest, "", ""), "a false alarm")
    assert rollback(quiet.name, "production").release == "r2"
    assert quiet.weights() == {"r2": 100}


def test_what_is_kept_warm_is_ended_and_what_serves_is_left_alone(quiet: Scene, put: Put) -> None:
    first, _ = two_releases(quiet)
    assert quiet.weights() == {"r1": 0, "r2": 100}
    made = put(first)
    (found,) = where_it_runs(made).found
    assert found.place is Place.WARM
    (done,) = replace_everywhere(made.kind, made.what, 20.0)
    assert (done.failed, done.back_on) == (False, "")
    assert quiet.weights() == {"r2": 100}
    assert quiet.state().warm is None


def test_where_nothing_admitted_is_left_the_running_one_is_kept_loudly(
    quiet: Scene, put: Put
) -> None:
    first, second = two_releases(quiet)
    put(first)
    made = put(second)
    (done,) = replaced(made)
    assert done.failed
    assert "cannot go back" in done.words
    assert quiet.weights()["r2"] == 100
    assert [one.release for one in where_it_runs(made).held] == ["r2"]


def test_a_replacement_that_was_killed_half_way_is_finished_by_the_next(
    quiet: Scene, put: Put
) -> None:
    """The journal says already what should be there; what is there is not yet that."""
    _, second = two_releases(quiet)
    made = put(second)
    quiet.world.fail(1, Moment.BEFORE, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        replaced(made)
    quiet.world.calm()
    assert quiet.told(RolledBack)
    assert [one.place for one in where_it_runs(made).found] == [Place.LEFT_OVER]
    (done,) = replaced(made)
    assert not done.failed
    assert quiet.weights() == {"r1": 100}
    assert replaced(made) == [], "a third time there is nothing to do"
    assert len(quiet.told(RolledBack)) == 1


def test_whoever_changes_the_environment_too_long_is_named(quiet: Scene, put: Put) -> None:
    _, second = two_releases(quiet)
    made = put(second)
    with tenure(platforms.journal(), quiet.name, "production", "something long"):
        (done,) = replaced(made, wait_seconds=0.6)
    assert done.failed
    assert "something long" in done.words
    assert quiet.weights()["r2"] == 100
    (again,) = replaced(made)
    assert not again.failed


# ---- by package ----------------------------------------------------------------------------------


def with_package(scene: Scene, name: str, version: str) -> None:
    info = scene.folder / "site" / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    file = scene.folder / "service.yaml"
    mapped = "    version: /app/version\n    site: /packages"
    file.write_text(file.read_text().replace("    version: /app/version", mapped))


@pytest.mark.scanned
def test_what_contains_a_package_is_found_by_its_bill_of_materials(quiet: Scene, put: Put) -> None:
    quiet.release()
    with_package(quiet, "Harm_less", "1.0")
    quiet.write("2")
    quiet.release()
    made = put(package="harm.less@1.0.0")
    (found,) = [one for one in where_it_runs(made).held if one.environment.service == quiet.name]
    assert found.release == "r2"
    assert "it contains Harm_less 1.0" in found.hit.why
    (problem,) = statuses(quiet.name)[0].problems
    assert "it is quarantined" in problem
    (done,) = [one for one in replaced(made) if one.service == quiet.name]
    assert done.is_now.startswith("r1")
    quiet.write("3")
    with pytest.raises(NotAdmittedError, match=r"it contains Harm_less 1\.0"):
        quiet.release()
    lift(target_of("", "", "harm.less@1.0.0"), "a false alarm")
    put(package="harm.less@2.0")
    assert quiet.release().release.startswith("r")
    assert len(quiet.told(Promoted)) == 3


def test_a_quarantine_ends_by_itself(quiet: Scene) -> None:
    quiet.release()
    stable = quiet.state().stable
    assert stable is not None
    soon = datetime.now(UTC) + timedelta(seconds=12)
    add(target_of(stable.artifact.digest, "", ""), "only for a moment", soon)
    quiet.edit(replicas=3)
    with pytest.raises(NotAdmittedError, match="only for a moment"):
        quiet.release()
    time.sleep(max(0.0, (soon - datetime.now(UTC)).total_seconds()))
    quiet.release()
    assert quiet.status().groups[0].ready == 3


def test_what_is_refused_and_gone_does_not_keep_out_the_release_that_mends_it(
    quiet: Scene, put: Put
) -> None:
    first = quiet.write("1")
    quiet.release()
    put(first)
    for instance in quiet.status().groups[0].instances:
        quiet.world.set_health(quiet.here, instance.name, Health.DEAD)
    quiet.write("2")
    assert quiet.release().outcome == "promoted in production"
    assert quiet.weights() == {"r2": 100}
    stable = quiet.state().stable
    assert stable is not None
    assert stable.release == "r2"
