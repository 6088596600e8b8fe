"""Policies among real flows: another one for each environment, proof of what was tried before, a base that must wait."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flows.heal import heal
from flows.stopped import StoppedError
from flows.tenure import tenure
from tasks import platforms
from tasks.adapters.layout import LayoutStore
from tasks.adapters.memory_traffic import Behaviour
from tasks.errors import InvalidInputError, NotAdmittedError
from tasks.evidence import Finding, FindingKind, ScanNotDone, ScanReport, Severity
from tasks.journal.events import RolloutStarted, StepStarted
from tasks.model import Artifact, FleetSpec, Gate, Group, Health, Role, Step
from tasks.rollout.converge import converge
from tests.flows.scene import QUICK, Scene
from tests.flows.test_quarantine_flow import later
from tests.support.images import ImageKind, image

WritePolicy = Callable[[str, str], None]


@pytest.fixture
def write_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WritePolicy:
    """Policies of this test alone; `default` asks for the usual."""
    folder = tmp_path / "policies"
    folder.mkdir()
    monkeypatch.setenv("BAKEWELL_POLICIES", str(folder))

    def write(name: str, text: str) -> None:
        (folder / f"{name}.yaml").write_text(text)

    write("default", "{}")
    return write


def edit(scene: Scene, **changes: object) -> None:
    path, yaml = scene.folder / "service.yaml", YAML()
    spec = yaml.load(path.read_text())
    spec.update(changes)
    yaml.dump(spec, path)


def with_staging(scene: Scene) -> None:
    """The same environment once more, before it, and another policy for production."""
    path, yaml = scene.folder / "service.yaml", YAML()
    spec = yaml.load(path.read_text())
    production = spec["environments"][0]
    staging = {"name": "staging", "platform": "memory", "strategy": {"kind": "all-at-once"}}
    production["policy"] = "guarded"
    edit(scene, environments=[staging, production])


def test_production_takes_what_was_tried_and_promoted_in_staging(
    scene: Scene, write_policy: WritePolicy
) -> None:
    write_policy("guarded", "tested_in: [staging]\npromoted_in: [staging]")
    with_staging(scene)
    assert scene.release().outcome == "promoted in staging, production"


def test_production_refuses_what_nobody_has_promoted_where_it_must_have_been(
    scene: Scene, write_policy: WritePolicy
) -> None:
    write_policy("guarded", "promoted_in: [acceptance]")
    with_staging(scene)
    with pytest.raises(NotAdmittedError, match=r"under policy guarded: nobody vouches that it was"):
        scene.release()
    assert [one.environment.name for one in scene.told(RolloutStarted)] == ["staging"]


def test_a_policy_that_is_not_there_is_told_before_anything_is_baked(
    scene: Scene, write_policy: WritePolicy
) -> None:
    with_staging(scene)
    with pytest.raises(
        InvalidInputError, match=r"guarded\.yaml, which does not exist; policies in"
    ):
        scene.release()
    assert not scene.told(RolloutStarted)


def test_a_regression_goes_back_also_while_nobody_can_read_the_policy(
    scene: Scene, write_policy: WritePolicy
) -> None:
    scene.edit(observe={**QUICK, "watch_seconds": 90})
    scene.release()
    artifact = scene.write("2")

    def break_both() -> None:
        write_policy("default", "secrets: perhaps")
        page = {"/": (200, "This is version 2")}
        scene.world.behaviours[artifact.digest] = Behaviour(failure_share=0.5, pages=page)

    thread = later(lambda: scene.weights().get("r2") == 100, break_both)
    with pytest.raises(StoppedError, match="roll back"):
        scene.release()
    thread.join()
    assert scene.weights() == {"r1": 100}


def test_a_database_that_is_lost_does_not_make_what_it_knew_run(
    scene: Scene, write_policy: WritePolicy
) -> None:
    """Also where the policy lets things run that nobody could scan."""
    write_policy("default", "database: {missing: run-without-knowing-its-vulnerabilities}")
    artifact, now = scene.write("1"), datetime.now(UTC)
    known = Finding(FindingKind.VULNERABILITY, "CVE-1", Severity.CRITICAL, "x", "1", "2", "")
    scene.world.scans[artifact.digest] = ScanReport(artifact.digest, "s", now, now, 1, (known,))
    for _ in range(2):
        with pytest.raises(NotAdmittedError, match=r"CVE-1 \(CRITICAL\) in x 1: update to 2"):
            scene.release()
        scene.world.scans[artifact.digest] = ScanNotDone(artifact.digest, "it is gone", now, 1)
    assert not scene.told(RolloutStarted)


def on_base(scene: Scene, folder: Path) -> Artifact:
    """Something is below it that nobody here has seen before."""
    base = image(LayoutStore(folder), ImageKind.CLEAN)
    path, yaml = scene.folder / "service.yaml", YAML()
    spec = yaml.load(path.read_text())
    spec["bake"]["base"] = base.reference
    edit(scene, bake=spec["bake"])
    scene.write("1")  # baked elsewhere before: here it is new all the same
    return base


def test_a_new_base_waits_unless_somebody_trusts_it(
    scene: Scene, write_policy: WritePolicy, tmp_path: Path
) -> None:
    base = on_base(scene, tmp_path / "base")
    write_policy("default", "base: {min_age_hours: 1}")
    with pytest.raises(
        NotAdmittedError, match=rf"its base {base.digest} must have been known for 1 h"
    ):
        scene.release()
    assert not scene.told(RolloutStarted)
    write_policy("default", f"base: {{min_age_hours: 1, trusted: ['{base.digest}']}}")
    assert scene.release().outcome == "promoted in production"
    assert scene.world.started


def test_a_policy_that_has_become_stricter_holds_at_the_next_start(
    scene: Scene, write_policy: WritePolicy
) -> None:
    scene.release()
    write_policy("default", "source: {repositories: ['https://git.example/*']}")
    scene.edit(replicas=3)
    with pytest.raises(NotAdmittedError, match=r"allowed: https://git\.example/\*"):
        scene.release()
    (group,) = scene.status().groups
    assert group.ready == 2, "what runs goes on running"


def test_where_nobody_can_tell_nothing_starts_and_traffic_comes_back_all_the_same(
    scene: Scene, write_policy: WritePolicy
) -> None:
    """The worst moment: somebody died with a canary out, an instance of stable is dead, and the policy was just broken."""
    scene.release()
    (stable,) = scene.status().groups
    candidate = scene.write("2")
    left = FleetSpec(
        (
            Group("r1", stable.artifact, 2, 80, Role.STABLE),
            Group("r2", candidate, 1, 20, Role.CANARY),
        )
    )
    with tenure(platforms.journal(), scene.name, "production", "somebody who dies") as held:
        held.record("r2", RolloutStarted(scene.here, candidate, 2, ""))
        held.record("r2", StepStarted(0, Step("20 %", left, Gate.OBSERVE)))
        fleet, admitted = scene.world.fleet, frozenset({stable.artifact.digest, candidate.digest})
        converge(fleet, scene.here, left, held.token, admitted)
    write_policy("default", "secrets: perhaps")
    scene.world.set_health(scene.here, stable.instances[0].name, Health.DEAD)
    started = len(scene.world.started)
    list(heal(scene.name))
    assert scene.weights() == {"r1": 100}
    assert scene.status().groups[0].ready == 1
    assert len(scene.world.started) == started
