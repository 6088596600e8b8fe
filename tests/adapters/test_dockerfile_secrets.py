"""Secrets that a build step may read: they reach it, and end nowhere. And registries that ask who we are."""

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tasks.adapters.docker_login import credentials_for
from tasks.adapters.registry import RegistryStore
from tasks.bake.bakery import Baked, bake
from tasks.errors import InvalidInputError, RefusedError
from tasks.ports import ArtifactStore
from tests.support.docker_engine import TestEngine, docker_engine
from tests.support.dockerfiles import (
    buildx_folder,
    busybox_base,
    docker_checkout,
    docker_service,
    layout,
)
from tests.support.image_layers import layers_of
from tests.support.registry import Registry, running_registry

pytestmark = pytest.mark.engine
USER, PASSWORD = "baker", "canary-sourdough"
VALUE: Final = "canary-swordfish-42"
READS: Final = (
    "FROM {base}\n"
    "RUN --mount=type=secret,id=token"
    " grep -q canary /run/secrets/token && echo used > /made\n"
    'CMD ["/bin/sh"]\n'
)
KEEPS: Final[dict[str, str]] = {
    "layer": "cp /run/secrets/token /kept",
    "layer 2": "cat /run/secrets/token > /x && rm /etc/motd",
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry"), USER, PASSWORD) as running:
        yield running


@pytest.fixture(scope="module")
def engine() -> Iterator[TestEngine]:
    with docker_engine() as running:
        yield running


@pytest.fixture
def base(
    registry: Registry, engine: TestEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """In a registry that only those may read who have logged in, as this test's user has."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (tmp_path / "docker").mkdir()
    auth = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    told = {"auths": {registry.host: {"auth": auth}}}
    (tmp_path / "docker" / "config.json").write_text(json.dumps(told))
    return busybox_base(opened(f"{registry.host}/base"), tmp_path / "made")


def opened(repository: str) -> RegistryStore:
    return RegistryStore(repository, lambda: credentials_for(repository))


def plug_in(tmp_path: Path) -> None:
    plugins = tmp_path / "docker" / "cli-plugins"
    plugins.mkdir()
    (plugins / "docker-buildx").symlink_to(buildx_folder() / "docker-buildx")


def bake_it(
    tmp_path: Path, dockerfile: str, store: ArtifactStore | None = None, **recipe: Any
) -> Baked:
    folder = tmp_path / "service"
    if not folder.exists():
        docker_checkout(folder, dockerfile)
    (folder / "Dockerfile").write_text(dockerfile)
    into = store or layout(tmp_path)
    return bake(docker_service(**recipe), folder, into, tmp_path / "cache")


def bytes_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_bases_and_artifacts_may_be_where_one_must_log_in(
    base: str, registry: Registry, tmp_path: Path
) -> None:
    store = opened(f"{registry.host}/private/hello")
    baked = bake_it(tmp_path, f'FROM {base}\nRUN touch /made\nCMD ["/bin/sh"]\n', store)
    assert "made" in layers_of(store, baked)[0]
    assert opened(f"{registry.host}/private/hello-staging").tags() == ()


def test_a_secret_reaches_its_step_and_is_nowhere_in_the_artifact(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in(tmp_path)
    monkeypatch.setenv("BUILD_TOKEN", VALUE)
    baked = bake_it(
        tmp_path, READS.format(base=base), secrets={"token": {"variable": "BUILD_TOKEN"}}
    )
    assert list(layers_of(layout(tmp_path), baked)[0]) == ["made"]
    assert VALUE.encode() not in bytes_below(tmp_path / "artifacts")
    assert dict(baked.materials.builder)["dockerfile-builder"] == "buildkit by buildx"
    (tmp_path / "token").write_text(f"{VALUE}\n")
    other = bake_it(
        tmp_path, READS.format(base=base), secrets={"token": {"file": str(tmp_path / "token")}}
    )
    assert other.reused, "where a secret is kept makes no other artifact"


@pytest.mark.parametrize("step", KEEPS.values(), ids=KEEPS.keys())
def test_a_secret_that_was_baked_all_the_same_is_refused_and_nothing_is_stored(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    plug_in(tmp_path)
    monkeypatch.setenv("BUILD_TOKEN", VALUE)
    keeps = f'FROM {base}\nRUN touch /first\nRUN --mount=type=secret,id=token {step}\nCMD ["a"]\n'
    with pytest.raises(RefusedError, match="the secret itself is in its layer 2") as refused:
        bake_it(tmp_path, keeps, secrets={"token": {"variable": "BUILD_TOKEN"}})
    assert VALUE not in str(refused.value)
    assert not (tmp_path / "artifacts").exists()


def test_a_step_that_fails_with_a_secret_is_told_without_it(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in(tmp_path)
    monkeypatch.setenv("BUILD_TOKEN", VALUE)
    fails = READS.format(base=base).replace("grep -q canary", "cat /run/secrets/token; grep no")
    with pytest.raises(RefusedError, match=r"\[secret token\]") as refused:
        bake_it(tmp_path, fails, secrets={"token": {"variable": "BUILD_TOKEN"}})
    assert VALUE not in str(refused.value)


def test_without_buildx_secrets_are_refused_with_how_to_get_it(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.adapters.docker_buildx.PLUGIN_FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("BUILD_TOKEN", VALUE)
    with pytest.raises(RefusedError, match="Debian: docker-buildx"):
        bake_it(tmp_path, READS.format(base=base), secrets={"token": {"variable": "BUILD_TOKEN"}})


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"variable": "NOT_SET"}, "the variable NOT_SET is not set"),
        ({"file": "nowhere"}, "service/nowhere cannot be read"),
        ({"variable": "SHORT"}, "has 2 bytes"),
    ],
)
def test_a_secret_that_is_not_there_is_refused_before_anything_is_built(
    base: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: dict[str, str],
    words: str,
) -> None:
    monkeypatch.setenv("SHORT", "12")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(InvalidInputError, match=words):
        bake_it(tmp_path, READS.format(base=base), secrets={"token": place})
