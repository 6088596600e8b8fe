"""What a container of ours is made with, and whether it still is what it was made with. Pure: words of the Engine API.

A container says in its labels whose it is and what it was asked to be, so the engine alone tells all about it. The settings
that must never change while it lives have one form, made from what is asked at its creation and from what the engine shows
later: where the two differ, somebody changed it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from pydantic import JsonValue

from tasks.model import Environment, Group, Label

Attrs = Mapping[str, Any]

DEFAULT_PORT: Final = 8080
MB: Final = 2**20
LOG_FILES: Final = 2
UNLIMITED: Final = -1  # how the engine says that it cannot limit swap, or was told not to
INIT_PATHS: Final = frozenset({"/sbin", "/sbin/docker-init"})
"""What the engine itself adds to an image without them, to mount its init there: nobody's change."""

# Whatever widens what it may do, or can be changed by `docker update`: as the engine names it in HostConfig.
_HOST_SETTINGS: Final = (
    *("AutoRemove", "Binds", "BlkioWeight", "CapAdd", "CapDrop", "CpuCount", "CpuPeriod", "CpuQuota"),
    *("CpuRealtimePeriod", "CpuRealtimeRuntime", "CpuShares", "CpusetCpus", "CpusetMems", "DeviceCgroupRules"),
    *("DeviceRequests", "Devices", "Dns", "ExtraHosts", "GroupAdd", "Init", "IpcMode", "KernelMemory", "Links"),
    *("LogConfig", "Memory", "MemoryReservation", "MemorySwap", "MemorySwappiness", "Mounts", "NanoCpus"),
    *("OomKillDisable", "OomScoreAdj", "PidMode", "PidsLimit", "PortBindings", "Privileged", "PublishAllPorts"),
    *("ReadonlyRootfs", "RestartPolicy", "SecurityOpt", "Sysctls", "Tmpfs", "UTSMode", "UsernsMode", "VolumesFrom"),
)  # fmt: skip
_CONFIG_SETTINGS: Final = (
    "Cmd",
    "Entrypoint",
    "User",
    "WorkingDir",
    "StopSignal",
    "Tty",
    "OpenStdin",
)


class ContainerLabel(StrEnum):
    """By these anybody finds what belongs to whom. A network of ours has the first two."""

    HOME = "bakewell.home"
    ENVIRONMENT = "bakewell.environment"
    SERVICE = Label.SERVICE.value
    GROUP = "bakewell.group"
    INSTANCE = "bakewell.instance"
    DIGEST = "bakewell.digest"
    REPOSITORY = "bakewell.repository"
    HEALTH = Label.HEALTH.value
    GRACE_SECONDS = Label.GRACE_SECONDS.value
    STARTED_AS = "bakewell.started-as"


@dataclass(frozen=True)
class Image:
    """An image on the engine: its `id` there, and the part of its configuration that says how it is run."""

    id: str
    config: Attrs


@dataclass(frozen=True)
class Setting:
    """Where containers of one environment run. `publish_on`: the address on the engine's machine where their port is
    published (empty: all of them); None where they are reached at their own address. `limits_swap`: whether it can."""

    home: Path
    environment: Environment
    network: str
    publish_on: str | None = None
    limits_swap: bool = True


def home_hash(home: Path) -> str:
    """Short, and the same for everybody who works from this folder."""
    return sha256(str(home.absolute()).encode()).hexdigest()[:12]


def belongings(home: Path, environment: Environment) -> dict[str, str]:
    """The labels of everything that an environment has on an engine."""
    return {
        ContainerLabel.HOME.value: home_hash(home),
        ContainerLabel.ENVIRONMENT.value: environment.key,
    }


def container_name(environment: Environment, instance: str) -> str:
    """What people see in `docker ps`."""
    return f"{environment.key}-{instance}"


def port_of(config: Attrs) -> int:
    """The lowest TCP port that the image exposes, else 8080: where an instance of it listens."""
    exposed = (port.partition("/") for port in config.get("ExposedPorts") or {})
    ports = [int(number) for number, _, kind in exposed if kind in ("", "tcp")]
    return min(ports, default=DEFAULT_PORT)


def creation(setting: Setting, group: Group, instance: str, image: Image) -> dict[str, Any]:
    """The body of POST /containers/create. The container runs exactly `image.id`, in exactly these limits."""
    host, port = _host_config(setting, port_of(image.config)), port_of(image.config)
    env = _environment(image.config, {"PORT": str(port), "HOST": "0.0.0.0"})
    labels = {**belongings(setting.home, setting.environment), **_labels(group, instance, image)}
    name = container_name(setting.environment, instance)
    asked = {
        "Name": name,
        "Image": image.id,
        "Config": {**image.config, "Env": env},
        "HostConfig": host,
        "NetworkSettings": {"Networks": {setting.network: {}}},
    }
    return {
        "Image": image.id,
        "Env": env,
        "ExposedPorts": {f"{port}/tcp": {}},
        "Healthcheck": {"Test": ["NONE"]},  # we ask over HTTP: an exec in it is somebody else's
        "Labels": {**labels, ContainerLabel.STARTED_AS.value: _json(started_as(asked))},
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": {setting.network: {}}},
    }


def started_as(attrs: Attrs) -> dict[str, JsonValue]:
    """Of an inspected container what must never change while it lives, in one form: what is empty is left out, what has no
    order is sorted. Names are the engine's own."""
    config, host = attrs.get("Config") or {}, attrs.get("HostConfig") or {}
    found: dict[str, Any] = {
        "Name": str(attrs.get("Name") or "").lstrip("/"),
        "Image": attrs.get("Image"),
        "Env": sorted(config.get("Env") or ()),
        "Networks": sorted((attrs.get("NetworkSettings") or {}).get("Networks") or ()),
        **{name: config.get(name) for name in _CONFIG_SETTINGS},
        **{name: _orderless(host.get(name)) for name in _HOST_SETTINGS},
        "RestartPolicy": (host.get("RestartPolicy") or {}).get("Name") or "no",
        "MemorySwap": _limit(host.get("MemorySwap")),
        "PidsLimit": _limit(host.get("PidsLimit")),
        "PortBindings": _bindings(host.get("PortBindings") or {}),
    }
    return {name: value for name, value in sorted(found.items()) if value}


def asked_as(labels: Mapping[str, str]) -> dict[str, JsonValue] | None:
    """What its label says it was started as; None if it has none that can be read."""
    try:
        found = json.loads(labels.get(ContainerLabel.STARTED_AS.value) or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _labels(group: Group, instance: str, image: Image) -> dict[str, str]:
    own: Mapping[str, str] = image.config.get("Labels") or {}
    return {
        ContainerLabel.SERVICE.value: group.artifact.service,
        ContainerLabel.GROUP.value: group.name,
        ContainerLabel.INSTANCE.value: instance,
        ContainerLabel.DIGEST.value: group.artifact.digest,
        ContainerLabel.REPOSITORY.value: group.artifact.repository,
        ContainerLabel.HEALTH.value: own.get(Label.HEALTH.value, "/"),
        ContainerLabel.GRACE_SECONDS.value: own.get(Label.GRACE_SECONDS.value, "10"),
    }


def _host_config(setting: Setting, port: int) -> dict[str, Any]:
    may_use = setting.environment.container
    memory = may_use.memory_mb * MB
    found: dict[str, Any] = {
        "CapDrop": ["ALL"],
        "Init": True,  # else a service without a handler, as process 1, does not even hear SIGTERM
        "IpcMode": "private",
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-file": str(LOG_FILES), "max-size": f"{max(1, may_use.log_mb // LOG_FILES)}m"},
        },
        "Memory": memory,
        "NanoCpus": round(may_use.cpus * 1e9),
        "NetworkMode": setting.network,
        "PidsLimit": may_use.pids,
        "ReadonlyRootfs": True,
        "RestartPolicy": {"Name": "no"},  # who died is replaced
        "SecurityOpt": ["no-new-privileges:true"],
        "Tmpfs": {"/tmp": f"size={may_use.tmp_mb}m,mode=1777,noexec,nosuid,nodev"},
    }  # fmt: skip
    if setting.limits_swap:
        found["MemorySwap"] = memory  # both together: so none
    if setting.publish_on is not None:
        found["PortBindings"] = {f"{port}/tcp": [{"HostIp": setting.publish_on, "HostPort": ""}]}
    return found


def _environment(config: Attrs, ours: Mapping[str, str]) -> list[str]:
    image = dict(pair.partition("=")[::2] for pair in config.get("Env") or ())
    return sorted(f"{name}={value}" for name, value in {**image, **ours}.items())


def _orderless(value: Any) -> Any:
    simple = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return sorted(value) if simple else value


def _limit(value: int | None) -> int | None:
    return None if value is None or value <= UNLIMITED else value


def _bindings(found: Mapping[str, Any]) -> dict[str, list[str]]:
    """Port 0 and none are the same wish: any."""
    return {
        port: sorted(
            f"{one.get('HostIp', '')}:{'' if one.get('HostPort') == '0' else one.get('HostPort', '')}"
            for one in wishes or ()
        )
        for port, wishes in found.items()
    }


def _json(value: Mapping[str, JsonValue]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
