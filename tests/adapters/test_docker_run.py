"""What a container is asked to be, and how a change of it shows."""

import copy
from pathlib import Path
from typing import Any

import pytest

from tasks.adapters.docker_run import Image, Setting, asked_as, creation, port_of, started_as
from tasks.model import Artifact, Container, Environment, Group, Role

CONFIG = {
    "Cmd": ["python3", "/app/main.py"],
    "Env": ["PATH=/bin", "PORT=1", "COLOUR=blue"],
    "ExposedPorts": {"9090/tcp": {}, "8081/tcp": {}, "53/udp": {}},
    "Labels": {"bakewell.health": "/healthz", "bakewell.grace-seconds": "3"},
    "User": "1000:1000",
}
HERE = Environment("hello", "production", "docker", container=Container(memory_mb=64, cpus=0.5))
GROUP = Group("r1", Artifact("hello", "sha256:" + "a" * 64, "host:5000/hello"), 1, 100, Role.STABLE)
SETTING = Setting(Path("/var/lib/x"), HERE, "its-network")


def asked(setting: Setting = SETTING) -> dict[str, Any]:
    return creation(setting, GROUP, "r1-abc", Image("sha256:" + "b" * 64, CONFIG))


def inspected(body: dict[str, Any]) -> dict[str, Any]:
    """What an engine shows of it: what the image says is filled in, what nobody asked for is null or empty."""
    return copy.deepcopy(
        {
            "Name": "/hello-production-r1-abc",
            "Image": body["Image"],
            "Config": {**CONFIG, "Env": body["Env"][::-1], "Entrypoint": None, "StopSignal": ""},
            "HostConfig": {
                **body["HostConfig"],
                "Binds": None,
                "CapAdd": None,
                "Privileged": False,
                "CpuShares": 0,
                "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
            },
            "NetworkSettings": {"Networks": {"its-network": {"IPAddress": "10.0.0.2"}}},
        }
    )


def test_a_container_nobody_touched_is_what_its_label_says() -> None:
    body = asked()
    assert started_as(inspected(body)) == asked_as(body["Labels"])


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ("HostConfig", "Memory", 2**30),
        ("HostConfig", "MemorySwap", -1),
        ("HostConfig", "PidsLimit", None),
        ("HostConfig", "CpuShares", 2048),
        ("HostConfig", "ReadonlyRootfs", False),
        ("HostConfig", "CapDrop", []),
        ("HostConfig", "CapAdd", ["SYS_ADMIN"]),
        ("HostConfig", "Privileged", True),
        ("HostConfig", "Binds", ["/:/host"]),
        ("HostConfig", "RestartPolicy", {"Name": "always"}),
        ("HostConfig", "LogConfig", {"Type": "none", "Config": {}}),
        ("HostConfig", "PortBindings", {"22/tcp": [{"HostIp": "", "HostPort": "22"}]}),
        ("Config", "User", "0"),
        ("Config", "Cmd", ["sh"]),
        ("Config", "Env", ["PATH=/bin", "PORT=8081", "HOST=0.0.0.0", "COLOUR=red"]),
        ("NetworkSettings", "Networks", {"its-network": {}, "other": {}}),
    ],
)
def test_a_setting_that_was_changed_shows(where: str, name: str, value: object) -> None:
    body = asked()
    changed = inspected(body)
    changed[where][name] = value
    assert started_as(changed) != asked_as(body["Labels"])


def test_the_platform_gives_port_and_host_and_keeps_what_the_image_says() -> None:
    assert asked()["Env"] == ["COLOUR=blue", "HOST=0.0.0.0", "PATH=/bin", "PORT=8081"]


def test_the_limits_are_those_of_the_environment() -> None:
    host = asked()["HostConfig"]
    assert (host["Memory"], host["MemorySwap"]) == (64 * 2**20, 64 * 2**20)
    assert host["NanoCpus"] == 500_000_000
    assert host["ReadonlyRootfs"]


def test_an_engine_that_cannot_limit_swap_is_not_asked_to_and_shows_no_change() -> None:
    body = asked(Setting(Path("/var/lib/x"), HERE, "its-network", limits_swap=False))
    seen = inspected(body)
    seen["HostConfig"]["MemorySwap"] = -1
    assert started_as(seen) == asked_as(body["Labels"])


@pytest.mark.parametrize("text", ["", "no JSON", "[1]"])
def test_a_label_that_cannot_be_read_says_nothing(text: str) -> None:
    assert asked_as({"bakewell.started-as": text}) is None


def test_an_image_that_exposes_nothing_listens_on_8080() -> None:
    assert port_of({}) == 8080
