"""Copying an artifact with all its evidence: between all kinds of stores, killed anywhere, and never a false whole."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tasks import oci
from tasks.adapters.layout import LayoutStore
from tasks.adapters.memory_store import MemoryStore
from tasks.adapters.registry import RegistryStore
from tasks.errors import NotFoundError, RefusedError, TagConflictError, TransientError
from tasks.mirror import survey as surveying
from tasks.mirror.copying import Copied, copy_artifact
from tasks.mirror.survey import survey
from tasks.ports import ArtifactStore, Descriptor
from tests.support.manifests import evidence, image, index
from tests.support.registry import Registry, running_registry

ENGINE = pytest.mark.engine
Make = Callable[[str], ArtifactStore]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    def make(kind: str) -> ArtifactStore:
        name = f"n{os.urandom(4).hex()}"
        if kind == "layout":
            return LayoutStore(tmp_path / name)
        running: Registry = request.getfixturevalue("registry")
        return RegistryStore(f"{running.host}/copy/{name}")

    return make


def whole(store: ArtifactStore) -> str:
    """An artifact with everything that there is: an index of two images, evidence of each, evidence of evidence, and
    the tags of cosign 2."""
    one, two = image(store, "one"), image(store, "two")
    raw = index(store, one, two)
    scan = evidence(store, raw, "test/scan")
    for vouched in (
        evidence(store, one, "test/of-one"),
        scan,
        evidence(store, scan, "test/of-scan"),
    ):
        store.put_manifest(vouched)
    digest = store.put_manifest(raw, "k-0123456789")
    for suffix in (".sig", ".att"):
        signatures = image(store, f"signatures{suffix}")
        store.put_manifest(signatures, f"sha256-{oci.hex_of(digest)}{suffix}")
    store.tag_once(digest, "r7")
    store.tag_once(digest, "v1.2.0")
    store.put_manifest(image(store, "other"), "r8")
    return digest


def copied(source: ArtifactStore, target: ArtifactStore, digest: str, work: Path) -> Copied:
    return copy_artifact(source, target, digest, work, lambda line: None)


def everything(store: ArtifactStore, digest: str) -> tuple[object, ...]:
    """All that belongs to the artifact, read byte by byte."""
    found = survey(store, digest)
    manifests = sorted((piece.digest, piece.raw, piece.tags) for piece in found.manifests)
    return manifests, sorted((one, store.blob(one)) for one in found.blobs), found.tags


@pytest.mark.parametrize(
    ("origin", "copy"),
    [
        ("layout", "layout"),
        pytest.param("layout", "registry", marks=ENGINE),
        pytest.param("registry", "layout", marks=ENGINE),
        pytest.param("registry", "registry", marks=ENGINE),
    ],
)
def test_a_copy_has_everything_and_doing_it_again_does_nothing(
    make: Make, origin: str, copy: str, tmp_path: Path
) -> None:
    source, target = make(origin), make(copy)
    digest = whole(source)
    first = copied(source, target, digest, tmp_path)
    assert everything(target, digest) == everything(source, digest)
    assert target.tags() == tuple(
        sorted(["r7", "v1.2.0", *(f"sha256-{digest[7:]}{suffix}" for suffix in (".att", ".sig"))])
    )
    assert (first.manifests, first.there_already) == (8, 0)
    assert first.blobs == len(survey(source, digest).blobs)
    again = copied(source, target, digest, tmp_path)
    assert (again.manifests, again.blobs, again.blob_bytes) == (0, 0, 0)
    assert again.there_already == first.manifests + first.blobs
    assert list(tmp_path.glob("tmp*")) == []


class Dying(MemoryStore):
    """Whoever writes there is killed before one of the writes."""

    left = 10**9

    def _write(self) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1

    def put_manifest(self, raw: bytes, tag: str | None = None) -> str:
        self._write()
        return super().put_manifest(raw, tag)

    def put_blob(self, content: bytes | Path, mount_from: str | None = None) -> Descriptor:
        self._write()
        return super().put_blob(content, mount_from)


def test_killed_anywhere_it_leaves_no_artifact_that_looks_whole(tmp_path: Path) -> None:
    source = MemoryStore("memory:source")
    digest = whole(source)
    complete = everything(source, digest)
    writes, names = 0, 0
    while True:
        target = Dying("memory:target")
        target.left = writes
        try:
            copied(source, target, digest, tmp_path)
            break
        except KeyboardInterrupt:
            names += len(target.tags()) > 0 and "r7" in target.tags()
            if target.resolve(digest):
                assert everything(target, digest)[:2] == complete[:2], f"after {writes} writes"
        target.left = 10**9
        copied(source, target, digest, tmp_path)
        assert everything(target, digest) == complete, f"after {writes} writes"
        writes += 1
    assert writes > 15
    assert names == 1, "names come last"


def test_evidence_that_came_later_is_brought_by_the_next_copy(make: Make, tmp_path: Path) -> None:
    source, target = make("layout"), make("layout")
    raw = image(source)
    digest = source.put_manifest(raw, "r1")
    copied(source, target, digest, tmp_path)
    source.put_manifest(evidence(source, raw, "test/later"))
    again = copied(source, target, digest, tmp_path)
    assert (again.manifests, again.tags) == (1, ("r1",))
    assert [one.artifact_type for one in target.referrers(digest)] == ["test/later"]


@pytest.mark.engine
def test_within_one_registry_blobs_are_shared_and_not_sent(
    registry: Registry, make: Make, tmp_path: Path
) -> None:
    class Counting(RegistryStore):
        sent = 0

        def put_blob(self, content: bytes | Path, mount_from: str | None = None) -> Descriptor:
            self.sent += 1
            return super().put_blob(content, mount_from)

    source = make("registry")
    digest = whole(source)
    target = Counting(f"{registry.host}/copy/shared")
    assert copied(source, target, digest, tmp_path).blobs > 5
    assert target.sent == 0
    assert everything(target, digest) == everything(source, digest)


def test_a_name_that_is_taken_there_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    source, target = MemoryStore("memory:source"), MemoryStore("memory:target")
    digest = whole(source)
    other = target.put_manifest(image(target, "somebody else's"), "r7")
    target.put_manifest(target.manifest(other), "r7")
    with pytest.raises(TagConflictError, match=f"(?s){digest} as r7.*{other} and never moves"):
        copied(source, target, digest, tmp_path)
    assert target.resolve(digest) is None
    assert not any(target.has_blob(one) for one in survey(source, digest).blobs)


def test_signatures_that_are_only_at_the_copy_are_not_lost(tmp_path: Path) -> None:
    source, target = MemoryStore("memory:source"), MemoryStore("memory:target")
    digest = source.put_manifest(image(source))
    signature = f"sha256-{oci.hex_of(digest)}.sig"
    source.put_manifest(image(source, "our signature"), signature)
    theirs = target.put_manifest(image(target, "their signature"), signature)
    with pytest.raises(TagConflictError, match=r"holds signatures that the original lacks"):
        copied(source, target, digest, tmp_path)
    assert target.resolve(signature) == theirs
    assert target.resolve(digest) is None


def test_evidence_that_cannot_be_had_is_not_left_out(tmp_path: Path) -> None:
    """Else a copy of an artifact with a spoilt scan would look like one that nobody ever found fault with."""
    for spoil in (lambda raw: raw.replace(b"test/scan", b"test/none"), None):
        source, target = MemoryStore("memory:source"), MemoryStore("memory:target")
        raw = image(source)
        digest = source.put_manifest(raw)
        scan = evidence(source, raw, "test/scan")
        if spoil:
            source.tamper(source.put_manifest(scan), spoil(scan))
        else:
            listed = oci.describe(scan, oci.checked_manifest(scan))
            source._referrers[digest] = {listed.digest: listed}
        with pytest.raises(RefusedError, match="would look better than the original"):
            copied(source, target, digest, tmp_path)
        assert target.resolve(digest) is None


def test_a_blob_that_was_changed_is_not_passed_on(tmp_path: Path) -> None:
    source, target = MemoryStore("memory:source"), MemoryStore("memory:target")
    raw = image(source)
    digest, blob = source.put_manifest(raw), oci.needed(oci.checked_manifest(raw))[1]
    source.tamper(blob, b"other bytes")
    with pytest.raises(RefusedError, match=blob):
        copied(source, target, digest, tmp_path)
    assert not target.has_blob(blob)
    assert target.resolve(digest) is None


def test_what_is_not_there_or_not_whole_is_said(make: Make, tmp_path: Path) -> None:
    source, target = MemoryStore("memory:source"), make("layout")
    with pytest.raises(NotFoundError, match="memory:source"):
        copied(source, target, f"sha256:{'0' * 64}", tmp_path)
    raw = image(source).replace(b'"digest"', b'"digits"')
    with pytest.raises(RefusedError, match="not as the OCI specification has it"):
        copied(source, target, source.put_manifest(raw), tmp_path)


def test_evidence_nested_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = MemoryStore("memory:source")
    raw = image(source)
    digest = source.put_manifest(raw)
    for number in range(surveying.DEEPEST + 1):
        raw = evidence(source, raw, f"test/{number}")
        source.put_manifest(raw)
    with pytest.raises(RefusedError, match="nested more than 12 deep"):
        survey(source, digest)
    monkeypatch.setattr(surveying, "MANIFESTS_AT_MOST", 3)
    with pytest.raises(RefusedError, match="more than 3 manifests"):
        survey(source, digest)


@pytest.mark.engine
def test_a_target_that_dies_is_transient(make: Make, tmp_path: Path) -> None:
    source = make("layout")
    digest = whole(source)
    with running_registry(tmp_path / "dying") as dying:
        repository = f"{dying.host}/copy"

        class Killed(RegistryStore):
            def put_manifest(self, raw: bytes, tag: str | None = None) -> str:
                dying.stop()
                return super().put_manifest(raw, tag)

        short = httpx.Timeout(2)
        with pytest.raises(TransientError, match="did not answer"):
            copied(source, Killed(repository, timeout=short), digest, tmp_path)


def test_big_blobs_are_told(tmp_path: Path) -> None:
    source, told = MemoryStore("memory:source"), list[str]()
    layer = replace(source.put_blob(os.urandom(3_000_000)), media_type=oci.LAYER)
    config = replace(source.put_blob(b"{}"), media_type=oci.CONFIG)
    parts = {"config": oci.to_json(config), "layers": [oci.to_json(layer)]}
    digest = source.put_manifest(oci.canonical({"schemaVersion": 2, **parts}))
    copy_artifact(source, MemoryStore("memory:t"), digest, tmp_path, told.append)
    (line,) = told
    assert line.endswith(f"of 2: {layer.digest[7:19]}, 3.0 MB")
