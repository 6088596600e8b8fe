"""`bakewell mirror`: one artifact or all of a service, verified in the second place, and read from there ever after."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.command import run
from flows.mirroring import destination, proved_alike
from flows.story import LOGGER
from tasks import oci, platforms
from tasks.adapters.layout import LayoutStore
from tasks.bake.bakery import bake
from tasks.errors import InvalidInputError, VerificationFailedError
from tasks.evidence import Dossier, Kind, Proof, Statement
from tasks.journal.rules import BakedBody, record
from tasks.model import Artifact, Source
from tasks.sign import evidence
from tests.support.baking import service
from tests.support.registry import Registry, running_registry

DONE, BAD_INPUT, REFUSED, NO_ANSWER = 0, 2, 4, 5


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own, and the story's listeners as they were before."""
    monkeypatch.setenv("BAKEWELL_HOME", str(tmp_path / "home"))
    before, level = list(LOGGER.handlers), LOGGER.level
    yield platforms.home()
    LOGGER.handlers[:] = before
    LOGGER.setLevel(level)


@dataclass(frozen=True)
class Bakery:
    """Releases of `hello` in the embedded store, as a release makes them: baked, attested, signed, tagged, journalled."""

    folder: Path

    def make(self, word: str) -> Artifact:
        source = self.folder / "source"
        source.mkdir(exist_ok=True)
        (source / "main.py").write_text(f"print({word!r})\n")
        store = platforms.store(f"layout:{platforms.home() / 'artifacts' / 'hello'}")
        artifact = bake(service(), source, store, self.folder / "cache").artifact
        evidence.attest(artifact, [Statement(Kind.VERDICT, {"word": word})])
        evidence.sign(artifact)
        store.tag_once(artifact.digest, word)
        body = BakedBody(Source("hello", "", dirty=True), artifact, reused=False)
        record(platforms.journal(), "hello", "", "", body)
        return artifact


@pytest.fixture
def bakery(tmp_path: Path) -> Bakery:
    return Bakery(tmp_path)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def worth(dossier: Dossier) -> tuple[list[Proof], list[tuple[Kind | None, Proof]]]:
    signed = [one.proof for one in dossier.signatures]
    return signed, sorted(
        ((one.kind, one.proof) for one in dossier.attested), key=lambda one: str(one)
    )


@pytest.mark.engine
def test_a_copy_holds_and_is_read_when_the_original_is_lost(
    bakery: Bakery,
    registry: Registry,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    artifact = bakery.make("r1")
    to = f"{registry.host}/copies/hello"
    assert run(["mirror", f"hello@{artifact.digest}", to, "--json"]) == DONE
    (told,) = json.loads(capsys.readouterr().out)
    assert told["copy"] == f"{to}@{artifact.digest}"
    assert told["tags"] == ["r1"]
    assert told["proofs"] >= 3, "both formats of the signature, and the verdict"
    before = evidence.examine(artifact)
    assert worth(before)[0] == [Proof.VALID, Proof.VALID]
    shutil.rmtree(home / "artifacts")
    monkeypatch.setenv("BAKEWELL_MIRRORS", f"layout:{home}/artifacts={registry.host}/copies")
    assert worth(evidence.examine(artifact)) == worth(before)
    assert (
        run(["mirror", f"hello@{artifact.digest}", f"layout:{home}/artifacts/hello"]) == BAD_INPUT
    )
    back = ["mirror", f"{to}@{artifact.digest}", f"layout:{home}/artifacts/hello"]
    assert run(back) == DONE
    monkeypatch.delenv("BAKEWELL_MIRRORS")
    assert worth(evidence.examine(artifact)) == worth(before), "and so the original is restored"


def test_all_of_a_service_is_copied_and_what_fails_stops_nothing_else(
    bakery: Bakery, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, broken, last = (bakery.make(word) for word in ("r1", "r2", "r3"))
    original = LayoutStore(home / "artifacts" / "hello")
    layer = oci.needed(oci.checked_manifest(original.manifest(broken.digest)))[1]
    (home / "artifacts/hello/blobs/sha256" / oci.hex_of(layer)).write_bytes(b"other bytes")
    to = f"layout:{tmp_path / 'copies'}"
    assert run(["mirror", "hello", to, "--all"]) == REFUSED
    answer = capsys.readouterr()
    assert f"hello@{broken.digest}: not mirrored: asked for {layer}" in answer.out
    assert "was not mirrored" in answer.err
    copies = LayoutStore(tmp_path / "copies")
    found = [copies.resolve(one.digest) for one in (first, broken, last)]
    assert found == [first.digest, None, last.digest]
    assert copies.resolve("r3") == last.digest
    assert run(["mirror", "hello", to, "--all", "--json"]) == REFUSED
    told = json.loads(capsys.readouterr().out)
    assert [one.get("manifests") for one in told] == [0, None, 0]
    assert list((home / "cache").iterdir()) == [], "nothing is left on the way"


def test_bad_input_is_refused_with_what_to_give(
    bakery: Bakery, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = bakery.make("r1")
    reference = f"hello@{artifact.digest}"
    for words, code, said in (
        ([reference, "memory:x"], BAD_INPUT, "give a repository"),
        ([reference, "user:hunter2@host/x"], BAD_INPUT, "without user, tag or digest"),
        ([reference, "layout:"], BAD_INPUT, "give a repository"),
        ([reference, "Host/Name"], BAD_INPUT, "must be host"),
        ([reference, artifact.repository], BAD_INPUT, "to where it is"),
        (["hello:r1", "host/x"], BAD_INPUT, "by digest"),
        (["nobody", "host/x", "--all"], BAD_INPUT, "knows no artifact of it"),
        ([reference, "127.0.0.1:1/x"], NO_ANSWER, "did not answer"),
        ([f"hello@sha256:{'0' * 64}", f"layout:{home}/copy"], BAD_INPUT, "not there"),
    ):
        assert run(["mirror", *words]) == code, words
        told = capsys.readouterr()
        assert said in told.err, words
        assert "hunter2" not in told.err + told.out


def test_a_folder_may_be_named_from_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert destination("layout:copies") == f"layout:{tmp_path}/copies"
    assert destination("host/name") == "host/name"
    with pytest.raises(InvalidInputError):
        destination("host/name@sha256:0")


def test_what_does_not_hold_at_the_copy_is_said(bakery: Bakery, tmp_path: Path) -> None:
    artifact = bakery.make("r1")
    copy = Artifact("hello", artifact.digest, f"layout:{tmp_path / 'empty'}")
    with pytest.raises(VerificationFailedError, match=r"signature, bundle.*verdict.*does not hold"):
        proved_alike(evidence.examine(artifact), evidence.examine(copy))
