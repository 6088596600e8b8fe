"""Releases on their way from environment to environment: soaks, waves, answers, and what the journal alone carries on."""

import shutil
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from flows import promotion, waiting
from flows.approval import approve, reject
from flows.promotion import promote
from flows.rollback import rollback
from flows.stopped import StoppedError
from flows.suspended import prefect
from flows.waking import wake
from tasks import platforms
from tasks.adapters.memory_traffic import Behaviour
from tasks.errors import InvalidInputError, NotFoundError
from tasks.journal.events import Approved, Promoted, ReleaseFinished, ReleaseStarted, record
from tasks.journal.rules import ReleaseState, RolloutStarted, fold
from tasks.journal.waits import Rejected, ReleaseWaits, Wait, WaitEnded, WaitKind
from tasks.model import Artifact, Verdict
from tasks.references import promoted_tag
from tests.flows.scene import QUICK, Scene

AT_ONCE = {"platform": "memory", "replicas": 1, "strategy": {"kind": "all-at-once"}}
CANARY = {
    **AT_ONCE,
    "strategy": {"kind": "canary", "weights": [20], "baseline": 1},
    "observe": QUICK,
}


pytestmark = pytest.mark.timeout(90)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.05)


def write_places(scene: Scene, *places: dict[str, Any], **settings: Any) -> None:
    """Other environments."""
    path, yaml = scene.folder / "service.yaml", YAML()
    spec = yaml.load(path.read_text())
    yaml.dump({**spec, **settings, "environments": list(places)}, path)


def told(scene: Scene, release: str) -> ReleaseState:
    return fold(platforms.journal().events(scene.name)).releases[scene.name, release]


def stable(scene: Scene) -> dict[str, str]:
    """Which release serves where."""
    found = fold(platforms.journal().events(scene.name)).environments
    return {name: one.stable.release for (_, name), one in found.items() if one.stable}


def answered(
    scene: Scene, answer: Callable[[str, str, str], str], waits: int = 1
) -> threading.Thread:
    """Somebody who answers as soon as so many waits have begun."""

    def later() -> None:
        while len(scene.told(ReleaseWaits)) < waits:
            time.sleep(0.05)
        answer(scene.name, "production", "as I see it")

    thread = threading.Thread(
        target=copy_context().run, args=(later,)
    )  # Prefect's settings are in it
    thread.start()
    return thread


def test_a_release_soaks_where_it_is_before_it_goes_on(scene: Scene) -> None:
    staging = {"name": "staging", "soak_seconds": 1.0, **AT_ONCE}
    write_places(scene, staging, {"name": "production", **AT_ONCE})
    assert scene.release().outcome == "promoted in staging, production"
    (waits,), (ended,) = scene.told(ReleaseWaits), scene.told(WaitEnded)
    assert waits.wait.kind is ended.kind is WaitKind.SOAK
    first, second = scene.told(Promoted)
    assert (second.deployed.since - first.deployed.since).total_seconds() >= 1.0


def test_a_roll_back_during_the_soak_ends_the_release_where_it_is(scene: Scene) -> None:
    production = {"name": "production", **AT_ONCE}
    write_places(scene, {"name": "staging", **AT_ONCE}, production)
    scene.release()
    write_places(scene, {"name": "staging", "soak_seconds": 600, **AT_ONCE}, production)
    scene.write("2")
    thread = answered(scene, lambda service, _, why: rollback(service, "staging", why).release)
    with pytest.raises(StoppedError, match="r2 does not serve in staging any more") as stopped:
        scene.release()
    thread.join()
    assert stopped.value.judgement.verdict is Verdict.INCONCLUSIVE
    assert stable(scene) == {"staging": "r1", "production": "r1"}


def test_a_rejection_ends_it_untouched_and_a_promotion_asks_anew(scene: Scene) -> None:
    write_places(scene, {"name": "production", "needs_approval": True, **AT_ONCE})
    thread = answered(scene, reject)
    with pytest.raises(StoppedError, match=r"rejected by .*: as I see it"):
        scene.release()
    thread.join()
    assert len(scene.told(Rejected)) == 1
    assert not scene.told(RolloutStarted)
    thread = answered(scene, approve, waits=2)
    assert promote(scene.name, "r1").outcome == "promoted in production"
    thread.join()
    assert len(scene.told(Approved)) == 1
    assert stable(scene) == {"production": "r1"}


def test_a_release_goes_on_from_the_journal_alone(scene: Scene) -> None:
    write_places(scene, {"name": "staging", **AT_ONCE}, {"name": "production", **AT_ONCE})
    first = scene.release(to="staging")
    shutil.rmtree(scene.folder)
    assert promote(scene.name, "r1").digest == first.digest
    assert stable(scene) == {"staging": "r1", "production": "r1"}
    assert len(scene.told(RolloutStarted)) == 2, "in staging it was promoted before"
    with pytest.raises(NotFoundError, match="has no release 'r9'"):
        promote(scene.name, "r9")


def test_a_promotion_never_goes_back(scene: Scene) -> None:
    write_places(scene, {"name": "production", **AT_ONCE})
    scene.release()
    scene.write("2")
    scene.release()
    with pytest.raises(InvalidInputError, match=r"r2, which is newer.*bakewell rollback"):
        promote(scene.name, "r1")
    assert stable(scene) == {"production": "r2"}


def test_a_wave_is_rolled_out_at_the_same_time(scene: Scene) -> None:
    slow = {**CANARY, "observe": {**QUICK, "minimum_seconds": 3.0}}
    regions = [{"name": name, "wave": "regions", **slow} for name in ("eu", "us")]
    write_places(scene, *regions)
    scene.release()
    scene.write("2")
    assert scene.release().outcome == "promoted in eu, us"
    events = [one for one in platforms.journal().events(scene.name) if one.release == "r2"]
    kinds = [
        (str(one.kind), one.environment)
        for one in events
        if one.kind in ("rollout started", "promoted")
    ]
    assert {kind for kind, _ in kinds[:2]} == {"rollout started"}, "both before any is promoted"
    assert stable(scene) == {"eu": "r2", "us": "r2"}


@pytest.mark.parametrize(("on_bad_wave", "good"), [("keep", "r2"), ("roll back", "r1")])
def test_a_bad_verdict_in_a_wave_stops_the_way_on_and_may_take_the_wave_back(
    scene: Scene, on_bad_wave: str, good: str
) -> None:
    """Judged by its users in eu, promoted unobserved in us: bad there, good here."""
    eu = {"name": "eu", "wave": "regions", **CANARY}
    us = {"name": "us", "wave": "regions", **AT_ONCE}
    last = {"name": "last", **AT_ONCE}
    write_places(scene, eu, us, last, on_bad_wave=on_bad_wave)
    scene.release()
    scene.write("2", Behaviour(failure_share=0.4, pages={"/": (200, "This is version x")}))
    with pytest.raises(StoppedError, match=r"its wave stopped: eu: roll back"):
        scene.release()
    assert stable(scene) == {"eu": "r1", "us": good, "last": "r1"}


# ---- what waits while no process of it runs ------------------------------------------------------


def left_waiting(scene: Scene, run: str, seconds: float = 600) -> None:
    """r2 has asked for an approval, and its process has ended; what it began is told in the journal as its run tells it."""
    scene.release()
    first = told(scene, "r1")
    until = first.started_at.replace(year=2100) if seconds else first.started_at
    started = ReleaseStarted(first.source, first.spec, first.artifact, False, run)
    record(platforms.journal(), scene.name, "", "r2", started)
    wait = Wait(WaitKind.APPROVAL, "`bakewell approve`", until, run)
    record(platforms.journal(), scene.name, "production", "r2", ReleaseWaits(wait))


def suspended_run() -> str:
    """A run that waits, as far as Prefect knows."""
    api = prefect()
    flow = httpx.post(f"{api.url}/flows/", json={"name": "waits"}).json()["id"]
    state = {"type": "PAUSED", "name": "Suspended"}
    made = httpx.post(f"{api.url}/flow_runs/", json={"flow_id": flow, "state": state})
    return str(made.raise_for_status().json()["id"])


def test_a_newer_release_supersedes_one_that_only_waits(scene: Scene) -> None:
    run = suspended_run()
    left_waiting(scene, run)
    scene.write("3")
    assert scene.release().release == "r3"
    assert told(scene, "r2").outcome == "superseded by r3"
    assert prefect().run(run).state == "CANCELLED"
    assert list(wake()) == []


def test_silence_ends_a_release_that_no_process_waits_for(scene: Scene) -> None:
    run = suspended_run()
    left_waiting(scene, run, seconds=0)
    (done,) = [line for line in wake() if scene.name in line]
    assert "nobody approved it within" in done
    assert "nobody approved it within" in scene.told(ReleaseFinished)[-1].outcome
    assert prefect().run(run).state == "CANCELLED"
    assert [line for line in wake() if scene.name in line] == []


def test_a_rejection_ends_it_at_once_and_a_late_approval_finds_nothing(scene: Scene) -> None:
    left_waiting(scene, suspended_run())
    assert [line for line in wake() if scene.name in line] == [], "it waits, and nothing is due"
    assert reject(scene.name, "production", "not on a Friday", "bob") == "r2"
    list(wake())
    assert "rejected by bob" in str(told(scene, "r2").outcome)
    with pytest.raises(NotFoundError, match="no unfinished release"):
        approve(scene.name, "production", "too late")


def test_a_run_that_somebody_cancelled_ends_its_release(scene: Scene) -> None:
    run = suspended_run()
    left_waiting(scene, run)
    prefect().set_state(run, "CANCELLED", "Cancelled", "by hand")
    (done,) = [line for line in wake() if scene.name in line]
    assert "its run was cancelled in Prefect" in done
    assert told(scene, "r2").outcome is not None


class KilledError(BaseException):
    """As a process ends that nobody asks: no `except Exception` sees it."""


def test_a_release_that_was_killed_after_its_last_promotion_is_finished_by_the_next(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = scene.write("1")

    def die(artifact: Artifact) -> str:
        raise KilledError(artifact.digest)

    with monkeypatch.context() as patch:
        patch.setattr(promotion, "tag_promoted", die)
        with pytest.raises(KilledError):
            scene.release()
    store = platforms.store(artifact.repository)
    assert (stable(scene), told(scene, "r1").outcome) == ({"production": "r1"}, None)
    assert store.resolve(promoted_tag(scene.name)) is None
    assert scene.release().release == "r1"
    assert store.resolve(promoted_tag(scene.name)) == artifact.digest
    assert told(scene, "r1").outcome == "promoted in production"
    assert len(scene.told(Promoted)) == 1, "nothing rolled"
    assert scene.release().outcome == "nothing changed, nothing rolled"
