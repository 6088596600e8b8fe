"""What every ArtifactStore promises, tried on each of them: memory, a layout, a real registry (whole, in chunks), with mirrors."""

import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks import oci
from tasks.adapters.layout import LayoutStore
from tasks.adapters.memory_store import MemoryStore
from tasks.adapters.mirrored import MirroredStore
from tasks.adapters.outages import Outages
from tasks.adapters.registry import RegistryStore
from tasks.errors import (
    CorruptError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    TagConflictError,
)
from tasks.ports import ArtifactStore
from tests.support.manifests import evidence, image
from tests.support.registry import Registry, running_registry

ABSENT = f"sha256:{'0' * 64}"
names = itertools.count()
Break = Callable[[str], None]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


ENGINE = pytest.mark.engine
KINDS = [
    "memory",
    "layout",
    pytest.param("registry", marks=ENGINE),
    pytest.param("registry, chunked", marks=ENGINE),
    "mirrored layout",
    pytest.param("mirrored registry", marks=ENGINE),
]


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    if request.param == "memory":
        return MemoryStore("memory:contract")
    if request.param == "layout":
        return LayoutStore(tmp_path / "layout")
    if request.param == "mirrored layout":
        return MirroredStore(LayoutStore(tmp_path / "layout"), [MemoryStore("memory:mirror")])
    running: Registry = request.getfixturevalue("registry")
    chunk = 100_000 if "chunked" in request.param else None
    found = RegistryStore(f"{running.host}/contract/n{next(names)}", chunk_bytes=chunk)
    if "mirror" not in request.param:
        return found
    mirror = RegistryStore(f"{running.host}/contract/mirror{next(names)}")
    return MirroredStore(found, [mirror], Outages())


@pytest.fixture(params=["layout", pytest.param("registry", marks=ENGINE)])
def breakable(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ArtifactStore, Break]:
    """A store on a disk, and how to change one byte of what it holds."""
    if request.param == "layout":
        folder = tmp_path / "layout"
        return LayoutStore(folder), lambda d: flip(folder / "blobs/sha256" / oci.hex_of(d))
    running: Registry = request.getfixturevalue("registry")
    store = RegistryStore(f"{running.host}/broken/n{next(names)}")
    return store, lambda digest: flip(running.blob(digest))


@pytest.fixture
def strict(breakable: tuple[ArtifactStore, Break]) -> ArtifactStore:
    """A store that distrusts names and manifests, because they become paths: all but memory."""
    return breakable[0]


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def test_what_is_stored_is_read_back(store: ArtifactStore, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(3_000_001))
    stored = store.put_blob(path)
    assert stored.size == 3_000_001
    assert stored.digest == oci.digest_of(path.read_bytes())
    assert store.has_blob(stored.digest)
    assert store.blob(stored.digest) == path.read_bytes()
    assert b"".join(store.stream(stored.digest)) == path.read_bytes()


def test_storing_again_changes_nothing(store: ArtifactStore) -> None:
    raw = image(store)
    assert store.put_blob(b"hello" * 1000) == store.put_blob(b"hello" * 1000)
    assert store.put_manifest(raw, "a") == store.put_manifest(raw, "a") == oci.digest_of(raw)
    assert store.tags() == ("a",)


def test_an_empty_blob_is_a_blob(store: ArtifactStore) -> None:
    assert store.blob(store.put_blob(b"").digest) == b""


def test_an_empty_store_answers(store: ArtifactStore) -> None:
    assert store.resolve("nothing") is None
    assert store.resolve(ABSENT) is None
    assert store.tags() == ()
    assert store.referrers(ABSENT) == ()
    assert not store.has_blob(ABSENT)


def test_what_is_absent_is_not_found(store: ArtifactStore) -> None:
    for ask in (store.manifest, store.blob, lambda digest: list(store.stream(digest))):
        with pytest.raises(NotFoundError, match=ABSENT):
            ask(ABSENT)


def test_a_digest_resolves_to_itself(store: ArtifactStore) -> None:
    digest = store.put_manifest(image(store))
    assert store.resolve(digest) == digest
    assert store.tags() == ()


@pytest.mark.parametrize("moving", ["k-0123456789abcdef", "2", f"sha256-{'0' * 64}.sig"])
def test_a_manifest_may_have_several_tags_and_those_of_machines_move(
    store: ArtifactStore, moving: str
) -> None:
    first, second = image(store, "first"), image(store, "second")
    for tag in ("one", moving):
        store.put_manifest(first, tag)
    store.put_manifest(second, moving)
    assert set(store.tags()) == {"one", moving}
    assert store.resolve("one") == oci.digest_of(first)
    assert store.resolve(moving) == oci.digest_of(second)
    assert store.manifest(oci.digest_of(second)) == second


def test_referrers_are_listed_once_with_their_type(store: ArtifactStore) -> None:
    subject = image(store)
    digest = store.put_manifest(subject, "r-1")
    signature, report = (evidence(store, subject, kind) for kind in ("test/sig", "test/scan"))
    for raw in (signature, report, signature):
        store.put_manifest(raw)
    found = {known.artifact_type: known for known in store.referrers(digest)}
    assert set(found) == {"test/sig", "test/scan"}
    assert len(store.referrers(digest)) == 2
    assert found["test/sig"].digest == oci.digest_of(signature)
    assert found["test/sig"].size == len(signature)
    assert found["test/sig"].annotations == (("kind", "test/sig"),)
    assert store.manifest(found["test/scan"].digest) == report
    assert store.tags() == ("r-1",)


def test_evidence_may_come_before_its_subject(store: ArtifactStore) -> None:
    subject = image(store)
    store.put_manifest(evidence(store, subject, "test/early"))
    digest = store.put_manifest(subject)
    assert [known.artifact_type for known in store.referrers(digest)] == ["test/early"]


def test_writers_at_once_lose_nothing(store: ArtifactStore) -> None:
    subject = image(store)
    digest = store.put_manifest(subject)
    kinds = [f"test/k{number}" for number in range(12)]
    manifests = [evidence(store, subject, kind) for kind in kinds]
    with ThreadPoolExecutor(6) as pool:
        list(
            pool.map(lambda raw: store.put_manifest(raw, f"t{oci.digest_of(raw)[7:15]}"), manifests)
        )
    assert sorted(known.artifact_type for known in store.referrers(digest)) == sorted(kinds)
    assert len(store.tags()) == 12


def test_a_manifest_whose_parts_are_absent_is_refused(strict: ArtifactStore) -> None:
    raw = image(strict).replace(oci.digest_of(b"hello" * 1000).encode(), ABSENT.encode())
    with pytest.raises(RefusedError, match=ABSENT):
        strict.put_manifest(raw, "incomplete")
    assert strict.tags() == ()


def test_what_is_no_manifest_is_refused(strict: ArtifactStore) -> None:
    for raw in (b"", b"{}", b"[]", b"\xff", b'{"schemaVersion": 1}'):
        with pytest.raises(RefusedError):
            strict.put_manifest(raw, "bad")
    assert strict.tags() == ()


def test_names_that_leave_the_store_are_refused(strict: ArtifactStore) -> None:
    for digest in ("sha256:../../../etc/passwd", "sha512:00", "latest"):
        with pytest.raises(InvalidInputError, match="digest"):
            strict.blob(digest)
    for tag in ("../up", "a b", "-a", "a" * 129, ""):
        with pytest.raises(InvalidInputError, match="tag"):
            strict.resolve(tag)


def test_a_tag_set_once_never_moves(store: ArtifactStore) -> None:
    first, other = store.put_manifest(image(store, "a")), image(store, "b")
    second = store.put_manifest(other)
    assert store.tag_once(first, "r-1") == first
    assert store.tag_once(first, "r-1") == first
    for again in (store.tag_once, lambda digest, tag: store.put_manifest(other, tag)):
        with pytest.raises(TagConflictError, match=f"(?s){second}.*{first} and never moves"):
            again(second, "r-1")
    assert store.resolve("r-1") == first
    assert store.tag_once(first, "r-2") == first
    assert store.tags() == ("r-1", "r-2")


def test_what_is_tagged_once_must_be_there_and_the_tag_be_for_people(store: ArtifactStore) -> None:
    with pytest.raises(NotFoundError, match=ABSENT):
        store.tag_once(ABSENT, "r-1")
    digest = store.put_manifest(image(store))
    for tag in ("k-0123", "7", f"sha256-{'0' * 64}.sig"):
        with pytest.raises(InvalidInputError, match="moved by machines"):
            store.tag_once(digest, tag)
    assert store.tags() == ()


def test_of_many_who_set_a_tag_once_one_wins(store: ArtifactStore) -> None:
    digests = [store.put_manifest(image(store, f"w{number}")) for number in range(6)]

    def attempt(digest: str) -> str | None:
        try:
            return store.tag_once(digest, "r-race")
        except TagConflictError:
            return None

    with ThreadPoolExecutor(6) as pool:
        winners = [found for found in pool.map(attempt, digests) if found]
    assert winners == [store.resolve("r-race")]


def test_one_changed_bit_is_noticed(breakable: tuple[ArtifactStore, Break]) -> None:
    store, corrupt = breakable
    raw = image(store)
    digest = store.put_manifest(raw, "a")
    blob = store.put_blob(b"precious" * 100).digest
    for changed in (digest, blob):
        corrupt(changed)
    with pytest.raises(CorruptError, match=digest):
        store.manifest(digest)
    for ask in (store.blob, lambda found: list(store.stream(found))):
        with pytest.raises(CorruptError, match=blob):
            ask(blob)
