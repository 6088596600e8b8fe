"""Releases as people run them, against a Prefect server: what is promoted, what is stopped, and what is left behind."""

import getpass
import signal
import threading
import time
from contextlib import suppress
from typing import Any

import httpx
import pytest

from flows.approval import approve
from flows.rollback import rollback
from flows.stopped import StoppedError
from flows.tenure import tenure
from tasks import platforms
from tasks.adapters import cosign_bundle
from tasks.adapters.memory_faults import Moment
from tasks.adapters.memory_traffic import Behaviour
from tasks.errors import LateWriterError, LeaseHeldError, NotAdmittedError, NotFoundError
from tasks.journal.events import (
    Approved,
    BakedBody,
    Bypassed,
    Promoted,
    ReleaseFinished,
    RolledBack,
    RolloutStarted,
    Sampled,
    StepStarted,
    VerdictGiven,
    Withdrawn,
    record,
)
from tasks.journal.rules import verify_chain
from tasks.model import FleetSpec, Gate, Group, Health, Role, Step, Verdict
from tasks.rollout.converge import converge
from tests.flows.scene import QUICK, Scene
from tests.support.engines import free_port

PAGE = {"/": (200, "This is version x")}


def artifact_of(api: str, key: str) -> dict[str, Any]:
    asked = {"artifacts": {"key": {"any_": [key]}}, "limit": 1}
    found: list[dict[str, Any]] = httpx.post(f"{api}/artifacts/filter", json=asked).json()
    assert found, f"no artifact {key}"
    return found[0]


def test_a_first_release_is_promoted_and_the_same_again_does_nothing(scene: Scene) -> None:
    first = scene.release()
    assert (first.release, first.outcome) == ("r1", "promoted in production")
    assert scene.weights() == {"r1": 100}
    assert scene.status().groups[0].ready == 2
    store = platforms.store(f"layout:{platforms.home() / 'artifacts' / scene.name}")
    name = f"{scene.name}-r1"
    assert store.resolve(name) == first.digest, "a tag for people, that never moves"
    again = scene.release()
    assert again.outcome == "nothing changed, nothing rolled"
    assert again.digest == first.digest
    assert len(scene.told(Promoted)) == len(scene.told(BakedBody)) + 1 == 1, "it was baked before"
    assert verify_chain(platforms.journal().events()) is None


def test_a_good_version_is_observed_and_promoted_and_the_old_one_stays_warm(
    scene: Scene, prefect_api: str
) -> None:
    scene.release()
    scene.write("2")
    assert scene.release().release == "r2"
    assert scene.weights() == {"r1": 0, "r2": 100}
    assert len(scene.told(Sampled)) >= 2
    assert [one.judgement.verdict for one in scene.told(VerdictGiven)][-1] is Verdict.PROMOTE
    report = artifact_of(prefect_api, f"{scene.name}-r2")["data"]
    for words in (f"{scene.name} r2: promoted", "## Evidence", "svg", "What users saw"):
        assert words in report


def test_a_bad_version_is_rolled_back_and_users_are_served_by_the_old_one(
    scene: Scene, prefect_api: str
) -> None:
    scene.release()
    bad = scene.write("2", Behaviour(failure_share=0.2, pages=PAGE))
    with pytest.raises(StoppedError, match="roll back") as stopped:
        scene.release()
    assert stopped.value.judgement.verdict is Verdict.ROLL_BACK
    assert scene.weights() == {"r1": 100}
    assert all(group.artifact.digest != bad.digest for group in scene.status().groups)
    (withdrawn,) = scene.told(Withdrawn)
    assert withdrawn.verdict is Verdict.ROLL_BACK
    assert "stopped" in scene.told(ReleaseFinished)[-1].outcome
    assert "rolled back" in artifact_of(prefect_api, f"{scene.name}-r2")["data"]


def test_progress_is_shown_while_it_is_observed(scene: Scene, prefect_api: str) -> None:
    scene.release()
    scene.write("2")
    scene.release()
    found = artifact_of(prefect_api, f"{scene.name}-r2-in-production-20-of-the-traffic-to-r2")
    assert found["type"] == "progress"
    assert "promote" in found["description"]


def test_an_instance_that_fails_its_smoke_test_never_gets_traffic(scene: Scene) -> None:
    scene.release()
    scene.write("2", Behaviour(status=500))
    with pytest.raises(StoppedError, match="smoke"):
        scene.release()
    assert scene.weights() == {"r1": 100}
    assert scene.told(Sampled) == []


def test_what_never_becomes_ready_is_withdrawn_with_its_last_words(scene: Scene) -> None:
    scene.release()
    scene.write("2", Behaviour(becomes_ready=False, last_words="no colour"))
    with pytest.raises(StoppedError, match="no colour"):
        scene.release()
    assert scene.weights() == {"r1": 100}


def test_metrics_that_cannot_be_read_end_inconclusive_never_bad(scene: Scene) -> None:
    """Invariant 7."""
    scene.release()
    scene.write("2")
    scene.world.metrics_outage = "connection refused"
    with pytest.raises(StoppedError, match="says nothing about the canary") as stopped:
        scene.release()
    assert stopped.value.judgement.verdict is Verdict.INCONCLUSIVE
    assert scene.weights() == {"r1": 100}
    scene.world.metrics_outage = ""
    scene.release()
    assert scene.weights()["r3"] == 100, "the same artifact is as good as it was"


def test_a_prometheus_that_is_gone_ends_inconclusive_never_bad(scene: Scene) -> None:
    """Invariant 7, for a source that service.yaml names; and its secret is nowhere in the journal."""
    scene.release()
    nowhere = f"http://127.0.0.1:{free_port()}"
    scene.edit(metrics={"url": nowhere, "authentication": {"variable": "NO_SUCH_TOKEN"}})
    scene.write("2")
    with pytest.raises(StoppedError, match="start gate: it could not be checked") as stopped:
        scene.release()
    assert stopped.value.judgement.verdict is Verdict.INCONCLUSIVE
    assert "no secret in $NO_SUCH_TOKEN" in stopped.value.judgement.reason
    with pytest.raises(StoppedError, match="says nothing about the canary") as stopped:
        scene.release(despite_burn="its Prometheus is gone")
    assert stopped.value.judgement.verdict is Verdict.INCONCLUSIVE
    assert scene.weights() == {"r1": 100}


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(1), ValueError("a fault of ours")]
)
def test_an_interrupted_rollout_leaves_no_canary(scene: Scene, error: BaseException) -> None:
    """Invariant 6, for those that can still be caught; SIGKILL is tested in tests/e2e."""
    scene.release()
    scene.write("2")
    scene.world.fail(3, Moment.AFTER, error)
    with pytest.raises(type(error)):
        scene.release()
    scene.world.calm()
    assert scene.weights() == {"r1": 100}
    assert scene.told(Withdrawn)[-1].verdict is None


def test_what_a_dead_process_left_is_taken_back_before_anything_else(scene: Scene) -> None:
    """Its canary gets users' requests and nobody looks: the lease runs out, and whoever comes next takes it back."""
    scene.release()
    artifact = scene.write("2")
    journal, r1 = platforms.journal(), scene.state().stable
    assert r1 is not None
    dead = journal.acquire(scene.name, "production", platforms.this_owner("dead"), 0.5)
    groups = (
        Group("r1", r1.artifact, 2, 80, Role.STABLE),
        Group("r2", artifact, 1, 20, Role.CANARY),
    )
    left = Step("20 % of the traffic to r2", FleetSpec(groups), Gate.OBSERVE)
    for body in (RolloutStarted(scene.here, artifact, 2, ""), StepStarted(1, left)):
        record(journal, scene.name, "production", "r2", body, dead)
    everything = frozenset({r1.artifact.digest, artifact.digest})
    converge(scene.world.fleet, scene.here, left.spec, dead.token, everything)
    assert scene.weights() == {"r1": 80, "r2": 20}
    time.sleep(0.6)
    with pytest.raises(LateWriterError):
        record(journal, scene.name, "production", "r2", StepStarted(2, left), dead)
    scene.release()
    (withdrawn,) = scene.told(Withdrawn)
    assert "ended in step 2 without finishing" in withdrawn.reason
    now = scene.state().stable
    assert now is not None
    assert now.artifact == artifact
    assert scene.weights()[now.release] == 100
    assert verify_chain(journal.events()) is None


def test_of_two_at_once_one_goes_on_and_the_other_is_told_by_whom_it_is_held(scene: Scene) -> None:
    with (
        tenure(platforms.journal(), scene.name, "", "release"),
        pytest.raises(LeaseHeldError, match="release"),
    ):
        scene.release()
    assert scene.release().release == "r1"


def test_rolling_back_returns_to_the_newest_that_was_good_and_then_refuses(scene: Scene) -> None:
    """Invariant 9."""
    scene.release()
    scene.write("2")
    scene.release()
    target = rollback(scene.name, "production", reason="it was slow")
    assert target.release == "r1"
    assert scene.weights()["r1"] == 100
    (told,) = scene.told(RolledBack)
    assert (told.reason, told.by) == ("it was slow", getpass.getuser())
    with pytest.raises(NotFoundError, match="cannot go back"):
        rollback(scene.name, "production")
    assert scene.weights()["r1"] == 100


def test_no_roll_back_to_an_artifact_whose_signature_was_tampered_with(scene: Scene) -> None:
    first = scene.release()
    scene.write("2")
    second = scene.release()
    spec_store = platforms.store(f"layout:{platforms.home() / 'artifacts' / scene.name}")
    other = spec_store.resolve(cosign_bundle.signature_tag(second.digest))
    assert other
    spec_store.put_manifest(spec_store.manifest(other), cosign_bundle.signature_tag(first.digest))
    with pytest.raises(NotFoundError, match="moved"):
        rollback(scene.name, "production")
    assert scene.weights()["r2"] == 100


@pytest.mark.scanned
def test_a_vulnerable_version_is_refused_before_anything_starts(scene: Scene) -> None:
    scene.release()
    info = scene.folder / "site" / "leaky-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: leaky\nVersion: 1.0\n")
    text = (scene.folder / "service.yaml").read_text()
    changed = text.replace(
        "    version: /app/version", "    version: /app/version\n    site: /packages"
    )
    (scene.folder / "service.yaml").write_text(changed)
    began = len(scene.world.started)
    with pytest.raises(NotAdmittedError, match=r"CVE-2099-0001.*update to 2\.0"):
        scene.release()
    assert len(scene.world.started) == began
    assert scene.weights() == {"r1": 100}


def test_an_approval_lets_it_in_and_silence_ends_it_untouched(scene: Scene) -> None:
    scene.edit(needs_approval=True, approval_seconds=2)
    with pytest.raises(StoppedError, match="nobody approved"):
        scene.release()
    assert scene.status().groups == ()
    scene.edit(approval_seconds=30)

    def later() -> None:
        while True:  # until there is something to approve
            with suppress(NotFoundError):
                approve(scene.name, "production", "looks good", "somebody")
                return
            time.sleep(0.1)

    approver = threading.Thread(target=later)
    approver.start()
    scene.release()
    approver.join()
    assert scene.weights().popitem()[1] == 100
    assert [one.by for one in scene.told(Approved)] == ["somebody"]


def test_a_service_that_burns_is_not_changed_unless_somebody_says_why_it_must_be(
    scene: Scene, prefect_api: str
) -> None:
    """The judge pauses while the world burns; afterwards the start gate remembers."""
    observe = {**QUICK, "deadline_seconds": 2.0}
    scene.edit(observe=observe)
    scene.release()
    burning = Behaviour(failure_share=0.5, pages=PAGE)
    (stable,) = scene.status().groups
    scene.world.behaviours[stable.artifact.digest] = burning
    scene.write("2", burning)
    with pytest.raises(StoppedError, match="the world burns") as paused:
        scene.release()
    assert paused.value.judgement.verdict is Verdict.INCONCLUSIVE
    scene.edit(observe={**QUICK, "margin": 0.9})
    scene.write("3")
    began = len(scene.told(RolloutStarted))
    with pytest.raises(StoppedError, match="start gate: the service burns its error budget") as no:
        scene.release()
    assert no.value.judgement.verdict is Verdict.INCONCLUSIVE
    assert len(scene.told(RolloutStarted)) == began, "nothing was changed"
    mended = scene.release(despite_burn="it mends the burning")
    assert scene.weights()[mended.release] == 100
    (bypassed,) = scene.told(Bypassed)
    assert (bypassed.reason, bypassed.by) == ("it mends the burning", getpass.getuser())
    report = artifact_of(prefect_api, f"{scene.name}-{mended.release}")["data"]
    assert "**Bypassed**: the start gate of production said no" in report


@pytest.mark.parametrize("objective", ["0.99", "0.5"], ids=["broken objective", "kept objective"])
def test_a_regression_after_promotion_goes_back_by_itself(scene: Scene, objective: str) -> None:
    """Also one that keeps the objective: it is compared with the group before it, which had to be seen for a while."""
    seen = {"minimum_seconds": 6.0} if objective == "0.5" else {}
    scene.edit(observe={**QUICK, **seen, "watch_seconds": 90})
    file = scene.folder / "service.yaml"
    file.write_text(file.read_text().replace("objective: 0.99", f"objective: {objective}"))
    scene.release()
    artifact = scene.write("2")

    def break_it() -> None:
        while scene.state().stable is None or scene.weights().get("r2") != 100:
            time.sleep(0.05)
        scene.world.behaviours[artifact.digest] = Behaviour(failure_share=0.3, pages=PAGE)

    breaker = threading.Thread(target=break_it)
    breaker.start()
    with pytest.raises(StoppedError, match="roll back"):
        scene.release()
    breaker.join()
    assert scene.weights() == {"r1": 100}
    (told,) = scene.told(RolledBack)
    assert told.by == "watch"
    assert "regression after promotion" in told.reason


def test_an_interruption_ends_the_watch_and_not_the_release_and_the_next_one_may_begin(
    scene: Scene,
) -> None:
    """A hotfix must not have to wait until the watch is over."""
    scene.edit(observe={**QUICK, "watch_seconds": 60})
    scene.release()
    scene.write("2")

    def interrupt() -> None:
        while not scene.told(Promoted)[1:] or scene.weights().get("r2") != 100:
            time.sleep(0.05)
        time.sleep(1)
        signal.raise_signal(signal.SIGINT)

    somebody = threading.Thread(target=interrupt)
    somebody.start()
    with pytest.raises(KeyboardInterrupt):
        scene.release()
    somebody.join()
    assert scene.weights() == {"r1": 0, "r2": 100}
    scene.edit(observe=QUICK)
    scene.write("3")
    assert scene.release().release == "r3"
    assert scene.weights()["r3"] == 100


def test_more_replicas_of_the_same_artifact_are_started_without_a_rollout(scene: Scene) -> None:
    scene.release()
    scene.edit(replicas=3)
    assert scene.release().outcome == "promoted in production"
    (group,) = scene.status().groups
    assert (group.name, group.ready) == ("r1", 3)


def test_a_release_that_changes_nothing_replaces_what_has_drifted(scene: Scene) -> None:
    scene.release()
    (victim, _) = scene.status().groups[0].instances
    scene.world.set_health(scene.here, victim.name, Health.DEAD)
    assert scene.release().outcome == "nothing changed, nothing rolled"
    (group,) = scene.status().groups
    assert group.ready == 2
    assert victim.name not in {one.name for one in group.instances}


@pytest.mark.parametrize("kind", ["blue-green", "all-at-once"])
def test_the_other_strategies_end_the_same_way(scene: Scene, kind: str) -> None:
    scene.edit(strategy={"kind": kind})
    scene.release()
    scene.write("2")
    scene.release()
    assert scene.weights() == {"r1": 0, "r2": 100}
    assert scene.state().warm is not None
