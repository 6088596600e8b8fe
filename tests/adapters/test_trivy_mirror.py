"""A mirror of the vulnerability database in a real registry: the same digest, never an older one, never something else."""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.command import Exit, run
from tasks import oci
from tasks.adapters import trivy_database
from tasks.adapters.registry import RegistryStore
from tasks.adapters.trivy import prepare_database
from tasks.adapters.trivy_mirror import CONFIG, LAYER, Place, mirror
from tasks.errors import (
    BakewellError,
    CorruptError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    TransientError,
)
from tasks.scan.database import mirror_database, place
from tests.support.engines import free_port
from tests.support.images import ImageKind, image
from tests.support.registry import Registry, running_registry
from tests.support.scanners import need_trivy
from tests.support.trivy_db import publish_database, write_database

pytestmark = pytest.mark.engine
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with running_registry(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def to(registry: Registry) -> Place:
    return Place(RegistryStore(f"{registry.host}/mirror/trivy-db"), "2")


def published(tmp_path: Path, registry: Registry, hours: float, name: str = "public") -> Place:
    """One that was made so many hours before NOW."""
    folder = tmp_path / f"{name}-{hours}"
    write_database(folder, NOW - timedelta(hours=hours))
    store = RegistryStore(f"{registry.host}/{name}")
    publish_database(store, folder)
    return Place(store, "2")


def test_the_copy_has_the_same_digest_and_trivy_downloads_it(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_trivy()
    monkeypatch.delenv("BAKEWELL_TRIVY_SERVER", raising=False)
    made = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    write_database(tmp_path / "made", made)
    digest = publish_database(RegistryStore(f"{registry.host}/public"), tmp_path / "made")
    said = list[str]()
    found = mirror_database(f"{registry.host}/own/db", f"{registry.host}/public:2", said.append)
    assert (found.published.digest, found.published.updated_at) == (digest, made)
    assert found.moved
    assert [words.partition(" ")[0] for words in said] == ["reading", "writing"]
    monkeypatch.setenv("BAKEWELL_TRIVY_DB", f"{registry.host}/own/db:2")
    assert prepare_database(tmp_path / "home") == ""
    there = trivy_database.found(tmp_path / "home")
    assert there is not None
    assert there.updated_at == made


def test_what_is_there_already_is_not_written_again(
    tmp_path: Path, registry: Registry, to: Place
) -> None:
    source = published(tmp_path, registry, 1)
    assert mirror(source, to, NOW).moved
    assert not mirror(source, to, NOW).moved


def test_a_newer_one_replaces_an_older_one_and_never_the_other_way(
    tmp_path: Path, registry: Registry, to: Place
) -> None:
    old, new = (published(tmp_path, registry, hours, f"h{hours}") for hours in (20, 2))
    mirror(old, to, NOW)
    assert mirror(new, to, NOW).moved
    with pytest.raises(RefusedError, match=r"newer, of 2026-06-01 10:00 UTC: it stays"):
        mirror(old, to, NOW)
    assert to.store.resolve("2") == new.store.resolve("2")


def test_something_else_under_that_name_is_not_replaced(
    tmp_path: Path, registry: Registry, to: Place
) -> None:
    artifact = image(to.store, ImageKind.CLEAN)
    to.store.put_manifest(to.store.manifest(artifact.digest), "2")
    with pytest.raises(InvalidInputError, match="found something else"):
        mirror(published(tmp_path, registry, 1), to, NOW)
    assert to.store.resolve("2") == artifact.digest


def test_a_broken_one_in_the_mirror_is_replaced(
    tmp_path: Path, registry: Registry, to: Place
) -> None:
    mirror(published(tmp_path, registry, 2, "old"), to, NOW)
    layer = json.loads(to.store.manifest(str(to.store.resolve("2"))))["layers"][0]
    registry.blob(layer["digest"]).write_bytes(b"broken")
    new = published(tmp_path, registry, 10, "new")
    assert mirror(new, to, NOW).moved, "older, but whole"


def test_bytes_that_are_not_what_their_digest_says_are_not_copied(
    tmp_path: Path, registry: Registry, to: Place
) -> None:
    source = published(tmp_path, registry, 1)
    layer = json.loads(source.store.manifest(str(source.store.resolve("2"))))["layers"][0]
    content = registry.blob(layer["digest"]).read_bytes()
    registry.blob(layer["digest"]).write_bytes(content[:-1] + b"x")
    with pytest.raises(CorruptError):
        mirror(source, to, NOW)
    assert to.store.resolve("2") is None


def _archive(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _metadata(version: int = 2, updated: str = "2026-06-01T00:00:00Z") -> bytes:
    return json.dumps({"Version": version, "UpdatedAt": updated}).encode()


WRONG = {
    "no archive": b"no archive at all",
    "nothing in it": _archive({}),
    "no database": _archive({"metadata.json": _metadata()}),
    "an empty database": _archive({"trivy.db": b"", "metadata.json": _metadata()}),
    "no metadata": _archive({"trivy.db": b"db"}),
    "broken metadata": _archive({"trivy.db": b"db", "metadata.json": b"{"}),
    "a list for metadata": _archive({"trivy.db": b"db", "metadata.json": b"[]"}),
    "another schema": _archive({"trivy.db": b"db", "metadata.json": _metadata(3)}),
    "one that is to come": _archive(
        {"trivy.db": b"db", "metadata.json": _metadata(updated="2026-06-02T00:00:00Z")}
    ),
    "half an archive": _archive({"trivy.db": bytes(range(256)) * 64, "metadata.json": _metadata()})[
        :200
    ],
}


@pytest.mark.parametrize("layer", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_database_that_trivy_reads_is_not_copied(
    registry: Registry, to: Place, layer: bytes
) -> None:
    store = RegistryStore(f"{registry.host}/odd")
    _put(store, layer, LAYER)
    with pytest.raises(InvalidInputError):
        mirror(Place(store, "2"), to, NOW)
    assert to.store.resolve("2") is None


def _put(store: RegistryStore, layer: bytes, media_type: str) -> None:
    config, blob = store.put_blob(b"{}"), store.put_blob(layer)
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": {"mediaType": CONFIG, "digest": config.digest, "size": config.size},
        "layers": [{"mediaType": media_type, "digest": blob.digest, "size": blob.size}],
    }
    store.put_manifest(oci.canonical(manifest), "2")


def test_another_kind_of_artifact_is_not_copied(registry: Registry, to: Place) -> None:
    store = RegistryStore(f"{registry.host}/odd")
    _put(store, WRONG["no archive"], oci.LAYER)
    with pytest.raises(InvalidInputError, match="found something else"):
        mirror(Place(store, "2"), to, NOW)


def test_a_source_that_has_none_and_one_that_is_down_are_told_apart(
    registry: Registry, to: Place
) -> None:
    nothing = Place(RegistryStore(f"{registry.host}/nothing"), "2")
    with pytest.raises(NotFoundError, match="there is none"):
        mirror(nothing, to, NOW)
    down = Place(RegistryStore(f"127.0.0.1:{free_port()}/db"), "2")
    with pytest.raises(TransientError):
        mirror(down, to, NOW)


def test_without_a_source_the_public_places_are_asked_in_order(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = published(tmp_path, registry, 1)
    down = f"127.0.0.1:{free_port()}/db:2"
    monkeypatch.setattr(trivy_database, "MIRRORS", (down, f"{registry.host}/nothing:2", good.name))
    assert mirror_database(f"{registry.host}/own/db").moved
    monkeypatch.setattr(trivy_database, "MIRRORS", (down, f"{registry.host}/nothing:2"))
    with pytest.raises(TransientError, match=r"127\.0\.0\.1.*there is none"):
        mirror_database(f"{registry.host}/own/db")


def test_a_place_is_a_repository_and_a_tag_or_a_digest() -> None:
    digest = f"sha256:{'a' * 64}"
    for said, name in {
        "127.0.0.1:5000/db": "127.0.0.1:5000/db:2",
        "127.0.0.1:5000/a/db:3": "127.0.0.1:5000/a/db:3",
        f"127.0.0.1:5000/db@{digest}": f"127.0.0.1:5000/db@{digest}",
    }.items():
        assert place(said).name == name
    for wrong in ("db", "db:2", "host/", "host/db:", "host/db@sha256:1", ""):
        with pytest.raises(BakewellError):
            place(wrong)


def test_the_command_prints_digest_age_and_size_and_refuses_by_its_exit_code(
    tmp_path: Path, registry: Registry, capfd: pytest.CaptureFixture[str]
) -> None:
    new, old = (published(tmp_path, registry, hours, f"h{hours}") for hours in (1, 30))
    where = f"{registry.host}/own/db"
    assert run(["trivy", "mirror", where, "--from", new.name, "--json"]) == Exit.DONE
    told = json.loads(capfd.readouterr().out)
    assert told["published"]["digest"] == new.store.resolve("2")
    assert told["published"]["size_bytes"] > 100
    assert run(["trivy", "mirror", where, "--from", new.name]) == Exit.DONE
    words = " ".join(capfd.readouterr().out.split())
    assert "had already sha256:" in words
    assert "of 2026-06-01 11:00 UTC" in words
    assert run(["trivy", "mirror", where, "--from", old.name]) == Exit.REFUSED
    assert run(["trivy", "mirror", where, "--from", "nonsense"]) == Exit.BAD_INPUT
    assert run(["trivy", "mirror", where, "--from", f"{registry.host}/none"]) == Exit.BAD_INPUT


def test_the_status_tells_version_age_source_and_caches_and_renews_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    need_trivy()
    monkeypatch.setenv("BAKEWELL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("BAKEWELL_TRIVY_SERVER", raising=False)
    monkeypatch.setenv("BAKEWELL_TRIVY_DB", f"127.0.0.1:{free_port()}/db:2")
    assert run(["trivy", "status", "--json"]) == Exit.DONE
    assert json.loads(capfd.readouterr().out)["database_updated_at"] is None
    write_database(tmp_path / "home/trivy/db", datetime.now(UTC) - timedelta(hours=50))
    layers = tmp_path / "home/trivy/worker-1/fanal"
    layers.mkdir(parents=True)
    (layers / "fanal.db").write_bytes(bytes(2_000_000))
    assert run(["trivy", "status"]) == Exit.DONE
    words = " ".join(capfd.readouterr().out.split())
    for told in ("trivy 0.76.0", "2 d 2 h old", "127.0.0.1", "worker-1, 2.0 MB"):
        assert told in words
    assert not (tmp_path / "home/trivy/last-update.json").exists()
    monkeypatch.setenv("BAKEWELL_TRIVY_SERVER", f"http://127.0.0.1:{free_port()}")
    assert run(["trivy", "status"]) == Exit.NO_ANSWER
    assert "does not answer" in " ".join(capfd.readouterr().out.split())
