"""Engines of two generations, both their builders and both image stores: one digest, which Trivy reads and cosign verifies."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import docker
import pytest

from tasks.adapters.cosign import Cosign
from tasks.adapters.layout import LayoutStore
from tasks.adapters.registry import RegistryStore
from tasks.bake.bakery import bake
from tasks.evidence import KeyRole, ScanReport
from tasks.model import Artifact
from tasks.ports import ArtifactStore
from tests.adapters.test_cosign import file_of, verify
from tests.support.cosign_binaries import cosign
from tests.support.docker_engine import docker_engine
from tests.support.dockerfiles import (
    WRITTEN,
    busybox_base,
    docker_checkout,
    docker_service,
    newer_engine,
)
from tests.support.evidence import keyring
from tests.support.registry import Registry, running_registry
from tests.support.scanners import need_trivy, scanner, scanner_home

pytestmark = pytest.mark.engine
BUILDKIT, CLASSIC = "1", "0"


@dataclass(frozen=True)
class Kind:
    """An engine (`older`, `newer`, `containerd`), who builds in it, and where the artifact goes."""

    engine: str
    builder: str = BUILDKIT
    in_registry: bool = True

    @property
    def name(self) -> str:
        return f"{self.engine}-{self.builder}-{self.in_registry}"


KINDS: Final = (
    Kind("older"),
    Kind("older", CLASSIC, in_registry=False),
    Kind("newer", in_registry=False),
    Kind("newer", CLASSIC),
    Kind("containerd"),
    Kind("containerd", CLASSIC, in_registry=False),
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, str]]:
    """Where each engine is."""
    with ExitStack() as running:
        yield {
            "older": running.enter_context(docker_engine()).host,
            "newer": running.enter_context(newer_engine()).host,
            "containerd": running.enter_context(
                newer_engine("--feature", "containerd-snapshotter=true")
            ).host,
        }


@pytest.fixture(scope="module")
def baked(
    registry: Registry, hosts: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[Kind, tuple[ArtifactStore, str]]:
    """The same folder baked in each way: the store, and the digest in it."""
    home = tmp_path_factory.mktemp("home")
    base = busybox_base(RegistryStore(f"{registry.host}/base"), home)
    found: dict[Kind, tuple[ArtifactStore, str]] = {}
    for number, kind in enumerate(KINDS):
        folder = docker_checkout(home / str(number), WRITTEN.format(base=base))
        store: ArtifactStore = LayoutStore(home / f"artifacts-{number}")
        if kind.in_registry:
            store = RegistryStore(f"{registry.host}/hello-{number}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOCKER_HOST", hosts[kind.engine])
            patch.setenv("DOCKER_BUILDKIT", kind.builder)
            made = bake(docker_service(), folder, store, home / "cache")
        found[kind] = (store, made.artifact.digest)
    return found


def test_all_of_them_bake_the_same_artifact(
    baked: dict[Kind, tuple[ArtifactStore, str]],
) -> None:
    digests = {kind.name: digest for kind, (_, digest) in baked.items()}
    assert len(digests) == len(KINDS)
    assert len(set(digests.values())) == 1, digests


def test_the_engines_are_of_two_generations(hosts: dict[str, str]) -> None:
    found = {}
    for name, host in hosts.items():
        client = docker.DockerClient(host)
        told = client.info()
        found[name] = (told["ServerVersion"].partition(".")[0], told["Driver"])
        client.close()
    assert found["older"][0] != found["newer"][0] == found["containerd"][0]
    assert (found["newer"][1], found["containerd"][1]) == ("overlay2", "overlayfs")


def test_trivy_knows_what_is_in_it(
    baked: dict[Kind, tuple[ArtifactStore, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_trivy()
    store, digest = baked[Kind("older")]
    artifact = Artifact("hello", digest, store.repository)
    report = scanner(scanner_home(tmp_path, monkeypatch), store).scan(artifact, 120).report
    assert isinstance(report, ScanReport), report
    assert report.packages == 1
    assert {one.id for one in report.findings} == {"CVE-2099-1001"}


@pytest.mark.parametrize("major", [2, 3])
def test_cosign_verifies_what_we_sign(
    baked: dict[Kind, tuple[ArtifactStore, str]], tmp_path: Path, major: int
) -> None:
    store, digest = baked[Kind("newer", CLASSIC) if major == 3 else Kind("containerd")]
    artifact = Artifact("hello", digest, store.repository)
    keys = keyring(tmp_path / "keys")
    Cosign(store, keys).sign(artifact)
    checked = verify(cosign(major), file_of(keys, KeyRole.BUILDER), artifact.reference)
    assert checked.returncode == 0, checked.stderr
