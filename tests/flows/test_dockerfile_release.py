"""A service that is baked from a Dockerfile goes the way of every other: what built it is told, and known inputs need nobody."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.logging.handlers import APILogWorker
from ruamel.yaml import YAML

from flows.facts import bases_known_since
from flows.planning import planned
from tasks import platforms
from tasks.adapters.registry import RegistryStore
from tasks.evidence import Kind
from tasks.journal.events import BakedBody
from tasks.model import Artifact
from tasks.sign import evidence
from tasks.sign.provenance import read_provenance
from tests.flows.scene import Scene
from tests.support.docker_engine import docker_engine
from tests.support.dockerfiles import busybox_base
from tests.support.images import ImageKind, image
from tests.support.registry import Registry, running_registry

pytestmark = pytest.mark.engine
DOCKERFILE = """\
FROM {tools} AS tools
FROM {base}
COPY --from=tools /app /tools
COPY version /version
RUN cat /version > /site && echo "made at build time"
CMD ["/bin/sh"]
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    with docker_engine() as running:
        yield running.host


@pytest.fixture
def images(
    scene: Scene, registry: Registry, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The scene's service is baked from a Dockerfile now; what it builds on."""
    monkeypatch.setenv("DOCKER_HOST", engine)
    tools = image(RegistryStore(f"{registry.host}/tools"), ImageKind.CLEAN)
    base = busybox_base(RegistryStore(f"{registry.host}/base"), tmp_path)
    found = {"base": base, "tools": tools.reference}
    (scene.folder / "Dockerfile").write_text(DOCKERFILE.format(**found))
    path, yaml = scene.folder / "service.yaml", YAML()
    spec: Any = yaml.load(path.read_text())
    spec["bake"], spec["smoke"] = {"dockerfile": "Dockerfile"}, {"path": "/"}
    yaml.dump(spec, path)
    return found


def test_a_release_tells_every_image_that_went_in_and_who_built_it(
    scene: Scene, images: dict[str, str], prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.edit(strategy={"kind": "all-at-once"})
    (scene.folder / "version").write_text("from a Dockerfile")
    done = scene.release()
    digests = [one.rpartition("@")[2] for one in images.values()]
    assert [body.base for body in scene.told(BakedBody)] == digests
    assert set(digests) <= bases_known_since().keys()
    repository = f"layout:{platforms.home() / 'artifacts' / scene.name}"
    dossier = evidence.examine(Artifact(scene.name, done.digest, repository))
    (origin,) = map(read_provenance, dossier.valid(Kind.PROVENANCE))
    assert origin is not None
    assert list(origin.bases) == digests
    assert dict(origin.versions)["dockerfile-builder"] == "buildkit"
    APILogWorker.drain_all()
    logs = httpx.post(f"{prefect_api}/logs/filter", json={"sort": "TIMESTAMP_DESC"}).json()
    assert any("made at build time" in line["message"] for line in logs), "live, in the run"

    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert scene.release().outcome == "nothing changed, nothing rolled"
    (plan,) = planned(scene.folder, "")
    assert (plan.digest, plan.steps) == (done.digest, ())
