"""How the image of an artifact comes to an engine, and what is not run."""

import json
from collections.abc import Iterator
from pathlib import Path

import docker
import httpx
import pytest

from tasks import oci
from tasks.adapters import docker_engine
from tasks.adapters.docker_images import Brought, bring
from tasks.adapters.layout import LayoutStore
from tasks.adapters.registry import RegistryStore
from tasks.errors import CorruptError, NotFoundError, RefusedError
from tasks.model import Artifact
from tasks.ports import ArtifactStore
from tests.support.docker_engine import TestEngine
from tests.support.docker_engine import docker_engine as running_engine
from tests.support.docker_ground import client_of
from tests.support.docker_images import busybox_image
from tests.support.registry import Registry, running_registry

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def engine() -> Iterator[TestEngine]:
    with running_engine() as found:
        yield found


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def client(engine: TestEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[docker.DockerClient]:
    """An engine without images."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    with client_of(engine.host) as found:
        yield found
        for image in found.images.list(all=True):
            found.images.remove(image.id, force=True)


def brought(
    artifact: Artifact, store: ArtifactStore, home: Path, said: list[str] | None = None
) -> Brought:
    say = (said if said is not None else []).append
    return bring(docker_engine.engine(), artifact, store, home, say)


def config_digest(store: ArtifactStore, artifact: Artifact) -> str:
    return str(json.loads(store.manifest(artifact.digest))["config"]["digest"])


def test_an_image_in_a_registry_is_pulled_by_its_digest(
    client: docker.DockerClient, registry: Registry, tmp_path: Path
) -> None:
    store = RegistryStore(f"{registry.host}/hello")
    artifact = busybox_image(store, "1")
    found = brought(artifact, store, tmp_path)
    assert found.reference == artifact.reference
    assert found.image.id in (artifact.digest, config_digest(store, artifact))
    assert client.images.get(found.image.id).tags == []
    again = brought(artifact, store, tmp_path)
    assert (again.image.id, again.reference) == (found.image.id, "")


def test_an_image_in_a_folder_is_loaded_and_is_the_same_one(
    client: docker.DockerClient, registry: Registry, tmp_path: Path
) -> None:
    store = LayoutStore(tmp_path / "artifacts")
    artifact = busybox_image(store, "1")
    found = brought(artifact, store, tmp_path)
    assert found.image.id in (artifact.digest, config_digest(store, artifact))
    assert client.images.get(found.reference).id == found.image.id
    assert found.image.config["Labels"]["bakewell.service"] == "hello"


def test_layers_that_the_engine_has_are_not_sent_again(
    client: docker.DockerClient, tmp_path: Path
) -> None:
    store = Counting(tmp_path / "artifacts")
    one, two = busybox_image(store, "1"), busybox_image(store, "2")
    brought(one, store, tmp_path)
    store.streamed.clear()
    found = brought(two, store, tmp_path)
    assert found.image.id in (two.digest, config_digest(store, two))
    layers = [one["digest"] for one in json.loads(store.manifest(two.digest))["layers"]]
    classic = client.info()["Driver"] == "overlay2"
    assert [one for one in store.streamed if one in layers] == layers[1:] or not classic


class Counting(LayoutStore):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.streamed: list[str] = []

    def stream(self, digest: str) -> Iterator[bytes]:
        self.streamed.append(digest)
        return super().stream(digest)


def test_a_registry_that_is_down_is_no_hindrance_where_a_mirror_is_named(
    client: docker.DockerClient,
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, down = RegistryStore(f"{registry.host}/mirror/hello"), "127.0.0.1:1/hello"
    artifact = busybox_image(store, "mirrored")
    monkeypatch.setenv("BAKEWELL_MIRRORS", f"127.0.0.1:1={registry.host}/mirror")
    said: list[str] = []
    found = brought(Artifact("hello", artifact.digest, down), store, tmp_path, said)
    assert found.reference == f"{registry.host}/mirror/hello@{artifact.digest}"
    assert f"got {artifact.short} not from {down}" in said[0]


def test_what_the_engine_cannot_reach_is_loaded_through_our_own_store(
    client: docker.DockerClient, tmp_path: Path
) -> None:
    store = LayoutStore(tmp_path / "artifacts")
    artifact = busybox_image(store, "unreachable")
    there = Artifact("hello", artifact.digest, "127.0.0.1:1/hello")
    assert brought(there, store, tmp_path).reference == f"bakewell/hello:{artifact.short}"


def test_what_is_gone_from_its_registry_is_told_with_what_to_do(
    client: docker.DockerClient, registry: Registry, tmp_path: Path
) -> None:
    store = RegistryStore(f"{registry.host}/gone")
    artifact = busybox_image(store, "gone")
    url = f"http://{registry.host}/v2/gone/manifests/{artifact.digest}"
    assert httpx.delete(url, trust_env=False).status_code == 202
    with pytest.raises(NotFoundError, match=r"Nothing was started.*BAKEWELL_MIRRORS"):
        brought(artifact, store, tmp_path)
    assert client.images.list(all=True) == []


def test_a_layer_with_other_bytes_is_not_loaded(
    client: docker.DockerClient, tmp_path: Path
) -> None:
    store = LayoutStore(tmp_path / "artifacts")
    artifact = busybox_image(store, "1")
    layer = json.loads(store.manifest(artifact.digest))["layers"][1]["digest"]
    path = tmp_path / "artifacts/blobs/sha256" / oci.hex_of(layer)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptError, match="somebody changed them"):
        brought(artifact, store, tmp_path)
    assert client.images.list(all=True) == []


def test_another_image_under_the_name_of_ours_is_not_taken_for_it(
    client: docker.DockerClient, tmp_path: Path
) -> None:
    store = LayoutStore(tmp_path / "artifacts")
    one, other = busybox_image(store, "1"), busybox_image(store, "2")
    found = brought(other, store, tmp_path)
    client.images.get(found.image.id).tag("bakewell/hello", one.short)
    assert brought(one, store, tmp_path).image.id in (one.digest, config_digest(store, one))


def test_an_index_of_several_images_is_refused(client: docker.DockerClient, tmp_path: Path) -> None:
    store = LayoutStore(tmp_path / "artifacts")
    digest = store.put_manifest(
        oci.canonical({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": []})
    )
    with pytest.raises(RefusedError, match="index of several images"):
        brought(Artifact("hello", digest, store.repository), store, tmp_path)
