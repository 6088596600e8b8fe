"""The Docker platform as a Ground: real containers on an engine of the tests' own, behind the real Envoy."""

import gc
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import docker
import docker.errors
import pytest

from tasks.adapters import docker_engine, docker_images, process_table
from tasks.adapters.docker import DockerFleet
from tasks.adapters.docker_run import home_hash
from tasks.adapters.envoy import binary
from tasks.adapters.layout import LayoutStore
from tasks.errors import RefusedError
from tasks.model import Artifact, Container, Environment
from tasks.ports import ArtifactStore
from tests.support.docker_engine import TestEngine
from tests.support.docker_images import HTTPD, busybox_image, shell
from tests.support.engines import missing
from tests.support.grounds import LAST_WORDS, Behaviour, Ground

HERE = Environment("hello", "contract", "docker", ready_seconds=2, container=Container(32, 1.0, 32))
NEVER_READY = shell(f"echo '{LAST_WORDS}'; exec sleep 1000")


def open_store(repository: str) -> ArtifactStore:
    return LayoutStore(Path(repository.removeprefix("layout:")))


def make_artifact(home: Path, version: str, behaviour: Behaviour = Behaviour.HEALTHY) -> Artifact:
    """A web server that answers its version, or what never answers."""
    command = HTTPD if behaviour is Behaviour.HEALTHY else NEVER_READY
    return busybox_image(LayoutStore(home / "artifacts"), version, command)


@contextmanager
def client_of(host: str) -> Iterator[docker.DockerClient]:
    """Not ours: what a test does to an engine, and sees of it, is not by way of what it tests."""
    client = docker.DockerClient(base_url=host, timeout=30)
    try:
        yield client
    finally:
        client.close()


def containers(client: docker.DockerClient, home: Path) -> list[Any]:
    """All that this home has there, whatever they do; oldest first."""
    label = f"bakewell.home={home_hash(home)}"
    found: list[Any] = client.containers.list(all=True, filters={"label": label})
    return sorted(found, key=lambda one: str(one.attrs["Created"]))


def kill(host: str, home: Path, address: str) -> None:
    """SIGKILL the container that has this address, and wait until it is gone."""
    wanted = address.partition(":")[0]
    with client_of(host) as client:
        for one in containers(client, home):
            networks = one.attrs["NetworkSettings"]["Networks"].values()
            if wanted in {network["IPAddress"] for network in networks}:
                one.kill()
                one.wait(timeout=10)


KEPT: Final = set[tuple[str, str]]()


def keep(host: str, artifact: Artifact) -> None:
    """Have the image on the engine for all tests, under a name of the user's: to bring it each time would take the most."""
    if (host, artifact.digest) in KEPT:
        return
    with tempfile.TemporaryDirectory() as home:
        store = open_store(artifact.repository)
        brought = docker_images.bring(docker_engine.engine(), artifact, store, Path(home), print)
    with client_of(host) as client:
        client.images.get(brought.image.id).tag("kept", artifact.short)
    KEPT.add((host, artifact.digest))


@contextmanager
def docker_ground(
    engine: TestEngine, folder: Path, environment: Environment = HERE
) -> Iterator[Ground]:
    """DOCKER_HOST names the engine meanwhile."""
    try:
        binary()
    except RefusedError as error:
        missing(str(error))
    home = Path(tempfile.mkdtemp(prefix="docker-", dir=folder))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DOCKER_HOST", engine.host)
        fleet = DockerFleet(home, open_store)

        def made(version: str, behaviour: Behaviour) -> Artifact:
            artifact = make_artifact(home, version, behaviour)
            keep(engine.host, artifact)
            return artifact

        try:
            yield Ground(fleet, environment, made, partial(kill, engine.host, home))
        finally:
            clean_up(engine.host, home)
            collect()


def collect() -> None:
    """What the SDK opened to an engine that was not there it leaves to the garbage collector, which complains."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        docker_engine.forget()
        gc.collect()


def clean_up(host: str, home: Path) -> None:
    """Whatever a test left of a home: containers, networks, Envoys."""
    for left in process_table.find({"BAKEWELL_HOME": str(home)}):
        process_table.stop(left, 0)
    with suppress(docker.errors.DockerException, OSError), client_of(host) as client:
        for one in containers(client, home):
            one.remove(force=True)
        label = f"bakewell.home={home_hash(home)}"
        for network in client.networks.list(filters={"label": label}):
            network.remove()
    shutil.rmtree(home, ignore_errors=True)
