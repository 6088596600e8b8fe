"""A small base image, services that are baked from a Dockerfile on it, and engines of two generations to build them."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tasks.adapters.layout import LayoutStore
from tasks.bake.bakery import bake
from tasks.ports import ArtifactStore
from tasks.service import ServiceSpec
from tests.support import engines
from tests.support.baking import service
from tests.support.debian_packages import unpacked
from tests.support.docker_engine import TestEngine, docker_engine
from tests.support.images import debian

APPLETS: Final = (
    *(
        "sh",
        "cat",
        "chmod",
        "cp",
        "date",
        "echo",
        "env",
        "grep",
        "httpd",
        "ln",
        "ls",
        "mkdir",
        "rm",
    ),
    *("sleep", "touch", "true"),
)
WRITTEN: Final = """\
ARG GREETING=hello
FROM {base} AS build
ARG GREETING
RUN mkdir -p /out/www/cgi && echo "$GREETING, world" > /out/www/index.html && echo "made at build time"
RUN ln /out/www/index.html /out/www/again.html && ln -s index.html /out/www/link && cd /tmp && date > when
RUN echo here > /out/here
FROM {base} AS slim
COPY --from=build /out /site
FROM slim
COPY app /site/app
RUN chmod 700 /site/app/run.sh && rm /etc/motd && mkdir -m 1777 /site/work
WORKDIR /site
USER 1000:1000
ENTRYPOINT ["/bin/httpd"]
CMD ["-f", "-p", "8080", "-h", "/site/www"]
"""


def docker_service(repository: str | None = None, **recipe: Any) -> ServiceSpec:
    """`hello`, baked from `Dockerfile` unless told otherwise."""
    return ServiceSpec.model_validate(
        {
            "service": "hello",
            "repository": repository,
            "bake": {"dockerfile": "Dockerfile", **recipe},
            "environments": [{"name": "production", "platform": "process"}],
        }
    )


def busybox_base(store: ArtifactStore, folder: Path) -> str:
    """Its reference, by digest. A shell, and what scanners take for Debian 12; the same digest each time on one machine."""
    source = folder / "base"
    (source / "bin").mkdir(parents=True)
    shutil.copy(engines.program("busybox", "busybox-static"), source / "bin" / "busybox")
    for name in APPLETS:
        (source / "bin" / name).symlink_to("busybox")
    files = {"etc/motd": "welcome\n", **debian("libssl3 openssl 3.0.20-1~deb12u2")}
    for path, text in files.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text)
    spec = service(files={name: f"/{name}" for name in ("bin", "etc", "var")}, command=["/bin/sh"])
    return bake(spec, source, store, folder / "cache").artifact.reference


def docker_checkout(folder: Path, dockerfile: str) -> Path:
    """A context with something to copy and something to leave."""
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "run.sh").write_text("#!/bin/sh\necho running\n")
    (folder / "app" / "debug.log").write_text("left out\n")
    (folder / ".dockerignore").write_text("**/*.log\n")
    (folder / "Dockerfile").write_text(dockerfile)
    return folder


def newer_docker() -> Path:
    """Where Debian sid's Engine, containerd and buildx are unpacked: some 60 MB, fetched once."""
    return unpacked("docker-28", "sid", "docker.io", "containerd", "docker-buildx")


@contextmanager
def newer_engine(*options: str) -> Iterator[TestEngine]:
    """With this machine's own runc: sid's needs a newer libc."""
    folder = newer_docker() / "usr"
    path = os.pathsep.join([str(folder / "sbin"), str(folder / "bin")])
    with docker_engine(*options, path=path) as engine:
        yield engine


def buildx_folder() -> Path:
    return newer_docker() / "usr" / "libexec" / "docker" / "cli-plugins"


def layout(folder: Path) -> LayoutStore:
    return LayoutStore(folder / "artifacts")
