"""What a release leaves beside its artifact, whatever becomes of it; and what it does when it cannot say so."""

import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.command import run
from flows.stopped import StoppedError
from flows.vouching import builder_versions
from tasks import platforms
from tasks.adapters.git import source_of
from tasks.adapters.memory_traffic import Behaviour
from tasks.errors import NotAdmittedError, TransientError, VerificationFailedError
from tasks.evidence import Dossier, Kind, RolloutVerdict, SmokeResult, SmokeTested, Statement
from tasks.journal.events import EventKind, Promoted, RolloutStarted
from tasks.model import Artifact, Source, Verdict
from tasks.sign import evidence
from tasks.sign.provenance import read_provenance
from tasks.sign.statements import promoted_in, read_smoke, read_verdict
from tests.flows.scene import QUICK, Scene

PAGE = {"/": (200, "This is version x")}


def dossier(scene: Scene, digest: str) -> Dossier:
    repository = f"layout:{platforms.home() / 'artifacts' / scene.name}"
    return evidence.examine(Artifact(scene.name, digest, repository))


def verdicts(scene: Scene, digest: str) -> list[RolloutVerdict]:
    read = map(read_verdict, dossier(scene, digest).valid(Kind.VERDICT))
    return [one for one in read if one is not None]


def smoke_of(scene: Scene, digest: str) -> list[SmokeTested]:
    read = map(read_smoke, dossier(scene, digest).valid(Kind.SMOKE_TEST))
    return [one for one in read if one is not None]


def sources(scene: Scene, digest: str) -> set[Source]:
    read = map(read_provenance, dossier(scene, digest).valid(Kind.PROVENANCE))
    return {one.source for one in read if one is not None}


def line(scene: Scene, kind: EventKind) -> str:
    """The hash of the newest line of that kind."""
    return [one.hash for one in platforms.journal().events(scene.name) if one.kind == kind][-1]


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.scanned
def test_a_promoted_release_has_its_origin_its_test_and_its_verdict(
    scene: Scene, prefect_api: str
) -> None:
    done = scene.release()
    (origin,) = dossier(scene, done.digest).valid(Kind.PROVENANCE)
    told = read_provenance(origin)
    assert told is not None
    assert told.source == source_of(scene.folder)
    assert told.versions == builder_versions()
    assert told.files == 3
    runs = httpx.get(f"{prefect_api}/flow_runs/{told.invocation}").json()
    assert runs["name"] == f"release {scene.name} r1"
    (tested,) = smoke_of(scene, done.digest)
    assert (tested.environment, tested.result) == ("production", SmokeResult.PASSED)
    (given,) = verdicts(scene, done.digest)
    assert (given.environment, given.platform) == ("production", "memory")
    assert (given.verdict, given.release) == (Verdict.PROMOTE, "r1")
    assert given.line == line(scene, EventKind.PROMOTED)


def test_an_observed_release_has_the_judges_numbers(scene: Scene) -> None:
    scene.release()
    scene.write("2")
    (given,) = verdicts(scene, scene.release().digest)
    assert isinstance(requests := given.numbers["requests"], int)
    assert requests >= 20
    assert given.reason


def test_a_release_that_is_rolled_back_has_that_verdict_and_why(scene: Scene) -> None:
    good = scene.release()
    bad = scene.write("2", Behaviour(failure_share=0.2, pages=PAGE))
    with pytest.raises(StoppedError):
        scene.release()
    (given,) = verdicts(scene, bad.digest)
    assert given.verdict is Verdict.ROLL_BACK
    assert "its peers" in given.reason
    assert given.line == line(scene, EventKind.WITHDRAWN)
    assert [one.result for one in smoke_of(scene, bad.digest)] == [SmokeResult.PASSED]
    assert [one.verdict for one in verdicts(scene, good.digest)] == [Verdict.PROMOTE]


def test_a_failed_smoke_test_is_attested_too(scene: Scene) -> None:
    scene.release()
    bad = scene.write("2", Behaviour(status=500))
    with pytest.raises(StoppedError, match="smoke"):
        scene.release()
    (tested,) = smoke_of(scene, bad.digest)
    assert tested.result is SmokeResult.FAILED
    assert "answered 500" in tested.reason
    assert [one.verdict for one in verdicts(scene, bad.digest)] == [Verdict.ROLL_BACK]


def test_a_regression_after_the_promotion_is_the_newest_verdict(scene: Scene) -> None:
    scene.edit(observe={**QUICK, "watch_seconds": 20})
    scene.release()
    bad = scene.write("2")

    def break_it() -> None:
        while scene.weights().get("r2") != 100:
            time.sleep(0.05)
        scene.world.behaviours[bad.digest] = Behaviour(failure_share=0.3, pages=PAGE)

    breaker = threading.Thread(target=break_it)
    breaker.start()
    with pytest.raises(StoppedError, match="roll back"):
        scene.release()
    breaker.join()
    newest = sorted(verdicts(scene, bad.digest), key=lambda one: one.at)
    assert [one.verdict for one in newest] == [Verdict.PROMOTE, Verdict.ROLL_BACK]
    assert newest[-1].line == line(scene, EventKind.VERDICT_GIVEN)
    assert promoted_in(dossier(scene, bad.digest).valid(Kind.VERDICT)) == frozenset()


@pytest.mark.scanned
def test_what_is_refused_has_its_scan_and_nothing_of_the_builders(scene: Scene) -> None:
    info = scene.folder / "site" / "leaky-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: leaky\nVersion: 1.0\n")
    text = (scene.folder / "service.yaml").read_text()
    changed = text.replace(
        "    version: /app/version", "    version: /app/version\n    site: /packages"
    )
    (scene.folder / "service.yaml").write_text(changed)
    bad = scene.write("1")
    with pytest.raises(NotAdmittedError):
        scene.release()
    found = dossier(scene, bad.digest)
    assert {one.kind for one in found.attested} == {Kind.SCAN, Kind.CYCLONEDX, Kind.SPDX}
    assert not found.valid(Kind.SIGNATURE)
    assert scene.told(RolloutStarted) == []


def test_another_commit_of_the_same_bytes_is_told_beside_the_first_and_each_once(
    scene: Scene,
) -> None:
    git(scene.folder, "init", "-q")
    git(scene.folder, "add", ".")
    git(scene.folder, "commit", "-qm", "one")
    first, digest = source_of(scene.folder), scene.release().digest
    assert sources(scene, digest) == {first}
    (scene.folder / "README").write_text("not baked")
    scene.edit(replicas=3)
    git(scene.folder, "add", ".")
    git(scene.folder, "commit", "-qm", "two")
    second = source_of(scene.folder)
    assert scene.release().digest == digest
    assert sources(scene, digest) == {first, second}
    scene.edit(replicas=2)
    git(scene.folder, "checkout", "-q", "--", ".")
    scene.edit(replicas=4)
    git(scene.folder, "commit", "-qam", "three")
    scene.release()
    assert len(dossier(scene, digest).valid(Kind.PROVENANCE)) == 3
    assert len(verdicts(scene, digest)) == 1, "it was promoted once"


class Trouble:
    """`attest` that fails for one kind of statement, so many times."""

    def __init__(self, kind: Kind, error: Exception, times: int) -> None:
        self.kind, self.error, self.left = kind, error, times
        self.real = evidence.attest

    def __call__(self, artifact: Artifact, statements: list[Statement]) -> None:
        if self.left and any(one.kind is self.kind for one in statements):
            self.left -= 1
            raise self.error
        self.real(artifact, statements)


def test_a_verdict_that_cannot_be_attested_stops_the_release_and_the_promotion_stands(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal comes first. Whoever comes next attests what is missing, once, and rolls nothing."""
    error = VerificationFailedError("somebody else is writing there")
    with monkeypatch.context() as patch:
        patch.setattr(evidence, "attest", Trouble(Kind.VERDICT, error, 1))
        with pytest.raises(VerificationFailedError):
            scene.release()
    (promoted,) = scene.told(Promoted)
    digest = promoted.deployed.artifact.digest
    assert scene.weights() == {"r1": 100}
    assert verdicts(scene, digest) == []
    scene.edit(replicas=3)
    scene.release()
    scene.edit(replicas=2)
    scene.release()
    (given,) = verdicts(scene, digest)
    assert given.release == "r1"
    assert given.line == line(scene, EventKind.PROMOTED)
    assert len(scene.told(Promoted)) == 1


def test_a_store_that_does_not_answer_at_once_is_asked_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = Trouble(Kind.VERDICT, TransientError("no answer"), 1)
    monkeypatch.setattr(evidence, "attest", trouble)
    done = scene.release()
    assert trouble.left == 0
    assert len(verdicts(scene, done.digest)) == 1


def test_a_passed_smoke_test_that_cannot_be_attested_keeps_it_from_traffic(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.release()
    bad = scene.write("2")
    error = VerificationFailedError("somebody else is writing there")
    monkeypatch.setattr(evidence, "attest", Trouble(Kind.SMOKE_TEST, error, 1))
    with pytest.raises(VerificationFailedError):
        scene.release()
    assert scene.weights() == {"r1": 100}
    assert verdicts(scene, bad.digest) == []


def test_why_a_rollout_failed_is_told_even_if_its_verdict_cannot_be_attested(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.release()
    scene.write("2", Behaviour(status=500))
    error = VerificationFailedError("somebody else is writing there")
    monkeypatch.setattr(evidence, "attest", Trouble(Kind.VERDICT, error, 1))
    with pytest.raises(StoppedError, match="answered 500"):
        scene.release()
    assert scene.weights() == {"r1": 100}


def test_what_older_versions_released_gets_its_origin_and_nothing_is_rolled(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They attested none: one is written when it is released again, and once it is there nothing changes any more."""
    with monkeypatch.context() as patch:
        patch.setattr("flows.release.attest_origin", lambda *_: None)
        patch.setenv("BAKEWELL_POLICIES", str(lenient(scene.folder)))
        digest = scene.release().digest
    assert sources(scene, digest) == set()
    scene.release()
    assert sources(scene, digest) == {source_of(scene.folder)}
    assert scene.release().outcome == "nothing changed, nothing rolled"
    assert len(scene.told(Promoted)) == 1


def lenient(folder: Path) -> Path:
    """Policies that do not ask for provenance."""
    policies = folder.parent / "policies"
    policies.mkdir()
    (policies / "default.yaml").write_text("attestations: [scan]\n")
    return policies


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert run(words) == 0, capsys.readouterr().err
    return capsys.readouterr().out


@pytest.mark.scanned
def test_the_commands_show_the_chain_and_the_difference(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.release()
    chain = shown(capsys, "inspect", scene.name)
    for words in ("source", "a tree outside Git", "production: promote (r1", "2 of 2 ready"):
        assert words in chain
    scene.write("22")
    scene.release()
    told = shown(capsys, "diff", scene.name, "r1", "r2", "--files")
    for words in ("/app/version", "1 B 0644", "2 B 0644", "none fixed, none introduced"):
        assert words in told
    found: dict[str, Any] = json.loads(shown(capsys, "diff", scene.name, "r1", "r2", "--json"))
    assert [one["path"] for one in found["files"]] == ["/app/version"]
    assert (found["packages"], found["settings"]) == ([], [])
    places = json.loads(shown(capsys, "inspect", scene.name, "r1", "--json"))["places"]
    assert [(one["role"], one["weight"]) for one in places] == [("warm", 0)]


@pytest.mark.scanned
def test_the_report_tells_the_chain(scene: Scene, prefect_api: str) -> None:
    scene.release()
    asked = {"artifacts": {"key": {"any_": [f"{scene.name}-r1"]}}, "limit": 1}
    (found,) = httpx.post(f"{prefect_api}/artifacts/filter", json=asked).json()
    for words in (
        "- **Source**: ",
        "a tree outside Git",
        "- **Verdicts**: production: promote (r1",
    ):
        assert words in found["data"]


@pytest.mark.parametrize("words", [("inspect",), ("diff", "hello"), ("inspect", "r7")])
def test_bad_input_says_what_can_be_named(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    assert "service@sha256:…" in capsys.readouterr().err
