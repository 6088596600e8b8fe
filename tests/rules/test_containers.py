"""What a container may use: as service.yaml says it, as the journal keeps it."""

import pytest
from pydantic import TypeAdapter, ValidationError

from tasks.containers import ContainerSpec
from tasks.model import Container, Environment
from tasks.service import Bake, EnvironmentSpec, PlatformName, ServiceSpec

BAKE = Bake(files={"a.py": "/a.py"}, command=["python3", "/a.py"])
LIMITED = EnvironmentSpec(
    name="production", platform=PlatformName.DOCKER, container=ContainerSpec(memory_mb=64, cpus=0.5)
)


def test_the_limits_of_an_environment_reach_its_platform() -> None:
    spec = ServiceSpec(service="hello", bake=BAKE, environments=(LIMITED,))
    assert spec.place(LIMITED).container == Container(memory_mb=64, cpus=0.5)


def test_what_is_not_said_is_the_same_in_the_file_and_for_the_platform() -> None:
    assert ContainerSpec().limits == Container()


@pytest.mark.parametrize("platform", [PlatformName.PROCESS, PlatformName.MEMORY])
def test_limits_that_a_platform_would_not_keep_are_refused(platform: PlatformName) -> None:
    with pytest.raises(ValidationError, match="would not keep these limits"):
        EnvironmentSpec(name="production", platform=platform, container=ContainerSpec())


@pytest.mark.parametrize(
    "setting",
    [{"memory_mb": 1}, {"cpus": 0}, {"cpus": float("inf")}, {"pids": 1}, {"tmp_mb": 0}],
)
def test_limits_in_which_nothing_can_run_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        ContainerSpec.model_validate(setting)


def test_an_environment_of_an_older_journal_is_read() -> None:
    old = {"service": "hello", "name": "production", "platform": "process", "listen_port": 1}
    found = TypeAdapter(Environment).validate_python(old)
    assert found.container == Container()
