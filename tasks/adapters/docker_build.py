"""Builds from a Dockerfile on a Docker engine: BuildKit over the REST API where the engine has it, else the classic builder.

The SDK's own build() knows only the classic builder; the endpoint is the same, with `version=2` (Engine API 1.39). BuildKit
takes a plain tar for a Dockerfile; packed by gzip it is taken for what it is.
"""

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from docker import DockerClient
from docker.errors import ImageNotFound
from docker.utils import version_gte
from docker.utils.config import load_general_config
from docker.utils.proxy import ProxyConfig

from tasks.adapters.buildkit_trace import LAST_LINES, Told
from tasks.adapters.docker_engine import Engine, engine, translated
from tasks.adapters.docker_login import credentials_for
from tasks.errors import RefusedError, TransientError

BUILDKIT_API: Final = "1.39"
SILENT_SECONDS: Final = 1800
"""A step may say nothing for so long."""
CONNECT_SECONDS: Final = 60
CLASSIC: Final = ("0", "false")
PLATFORM: Final = "linux/amd64"


class Builder(StrEnum):
    """Who executes a Dockerfile in an engine."""

    BUILDKIT = "buildkit"
    CLASSIC = "classic"


@dataclass(frozen=True)
class Order:
    """What is to be built. `context` is a gzipped tar, `dockerfile` a path in it; `name` the image's, until it is removed.

    `fresh`: without the build cache. `label` (name, value) makes the image unlike any other.
    """

    context: Path
    dockerfile: str
    name: str
    label: tuple[str, str]
    arguments: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    fresh: bool = False


@dataclass(frozen=True)
class BuiltImage:
    """An image on the engine. `builder`: who built it, as pairs of name and version."""

    name: str
    builder: tuple[tuple[str, str], ...]


def builder_of(there: Engine) -> Builder:
    """DOCKER_BUILDKIT=0 asks for the classic one, as it does of the docker command."""
    if os.environ.get("DOCKER_BUILDKIT", "").lower() in CLASSIC:
        return Builder.CLASSIC
    known = version_gte(there.client.api.api_version, BUILDKIT_API)
    return Builder.BUILDKIT if known else Builder.CLASSIC


def build(order: Order, say: Callable[[str], None]) -> BuiltImage:
    """Have the image on the engine. `say` hears each step, and what it writes.

    RefusedError with the last lines of a step that failed; TransientError if the engine is lost. Who is killed here leaves
    nothing that goes on: the engine ends a build that nobody listens to.
    """
    there = engine()
    builder = builder_of(there)
    version = str(there.client.version()["Version"])
    say(f"building with {builder.value} on Docker Engine {version}")
    with translated(f"to build {order.dockerfile}"):
        _listen(_events(there, order, builder), order, say)
    return BuiltImage(
        order.name, (("docker-engine", version), ("dockerfile-builder", builder.value))
    )


def fetch_images(references: Iterable[str], say: Callable[[str], None]) -> None:
    """Have these images (`host/name@sha256:…`) on the engine: builders ask registries without the user's log-in."""
    client = engine().client
    for reference in references:
        with translated(f"the engine to pull {reference}"):
            if not _is_there(client, reference):
                say(f"pulling {reference}")
                client.images.pull(reference, platform=PLATFORM, auth_config=log_in(reference))


def log_in(repository: str) -> dict[str, str] | None:
    """For the engine, which asks the registry. Read anew: the SDK's client remembers what was there when it was made."""
    found = credentials_for(repository)
    return {"username": found[0], "password": found[1]} if found else None


def _is_there(client: DockerClient, reference: str) -> bool:
    try:
        return bool(client.api.inspect_image(reference))
    except ImageNotFound:
        return False


def proxies() -> dict[str, str]:
    """Those of ~/.docker/config.json, as the docker command has them. Predefined arguments are in no image and no cache key."""
    told = load_general_config().get("proxies", {}).get("default") or {}
    return {
        name: value
        for name, value in ProxyConfig.from_dict(told).get_environment().items()
        if value
    }


def _events(there: Engine, order: Order, builder: Builder) -> Iterator[Mapping[str, Any]]:
    api = there.client.api
    headers = {"Content-Type": "application/x-tar", "Content-Encoding": "gzip"}
    name, value = order.label
    asked = {
        "t": order.name,
        "dockerfile": order.dockerfile,
        "buildargs": json.dumps({**proxies(), **order.arguments}),
        "labels": json.dumps({name: value}),
        "target": order.target or "",
        "nocache": str(order.fresh).lower(),
        "platform": PLATFORM,
        "rm": "true",
        "forcerm": "true",
        "version": "2" if builder is Builder.BUILDKIT else "1",
    }
    with order.context.open("rb") as context:
        answer = api._post(
            api._url("/build"),
            data=context,
            headers=headers,
            params=asked,
            stream=True,
            timeout=(CONNECT_SECONDS, SILENT_SECONDS),
        )
    try:
        api._raise_for_status(answer)
        yield from api._stream_helper(answer, decode=True)
    finally:
        answer.close()


def _listen(events: Iterator[Mapping[str, Any]], order: Order, say: Callable[[str], None]) -> None:
    """Until the image is there."""
    told, recent = Told(), deque[str](maxlen=LAST_LINES)
    identified = False
    for event in events:
        lines = list(told.lines(event["aux"])) if event.get("id") == "moby.buildkit.trace" else []
        if event.get("id") == "moby.image.id" or "ID" in _mapping(event.get("aux")):
            identified = True
        lines += str(event.get("stream") or event.get("status") or "").splitlines()
        for line in filter(str.strip, lines):
            recent.append(line)
            say(line)
        if "error" in event or "errorDetail" in event:
            raise _failed(order, event, told.failure or "\n".join(recent))
    if not identified:
        raise TransientError(
            f"asked to build {order.dockerfile}; the engine stopped answering before the image was there; bake again"
        )


def _failed(order: Order, event: Mapping[str, Any], last: str) -> RefusedError:
    said = _mapping(event.get("errorDetail")).get("message") or event.get("error")
    return RefusedError(
        f"asked to build {order.dockerfile}; it failed: {str(said).strip()}; its last lines:\n{last}\n"
        "correct the Dockerfile or what it needs, then bake again"
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
